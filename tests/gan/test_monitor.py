"""Which generator is kept, by how near its samples come to `tune`."""

import dataclasses

from gan.faults import begin
from gan.toy import toy_images, write_dataset
from medsyn.gan import building
from medsyn.workspace import Workspace


def test_a_closed_form_is_kept_only_where_it_is_better_for_certain(workspace: Workspace) -> None:
    write_dataset(workspace, *toy_images(40))
    session = begin(workspace, "latent-r3gan", 4, 2, seed=0, plan={})
    best, monitor = session.best, session.best.monitor
    assert monitor is not None
    snapshot, kept = session._averaged(), next(building.closed_forms(session.material, session.device))
    best.generator, best.check, best.closed_form = kept, monitor.check(kept), True
    doubt = monitor.doubt(snapshot, kept)
    assert doubt > 0
    assert monitor.doubt(kept, kept) == 0
    hardly, clearly = (dataclasses.replace(best.check, kid=best.check.kid + part * doubt) for part in (0.5, 1.5))
    assert not best.is_better(snapshot, hardly, monitor, learnt=False), "it has not learnt anything yet"
    assert best.is_better(snapshot, hardly, monitor, learnt=True)
    assert not best.is_better(snapshot, clearly, monitor, learnt=True)
    best.closed_form = False
    assert not best.is_better(snapshot, hardly, monitor, learnt=True)
