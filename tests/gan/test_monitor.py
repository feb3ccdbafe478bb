"""Which generator is kept, by how near its samples come to `tune`."""

import dataclasses

from gan.faults import begin
from gan.toy import toy_images, write_dataset
from medsyn.gan import building
from medsyn.workspace import Workspace


def test_a_closed_form_is_kept_only_where_it_is_better_for_certain(workspace: Workspace) -> None:
    write_dataset(workspace, *toy_images(40))
    session = begin(workspace, "latent-r3gan", 4, 2, seed=0, plan={})
    monitor = session._monitor
    assert monitor is not None
    snapshot, kept = session._averaged(), next(building.closed_forms(session.material, session.device))
    session._best, session.best_check, session.closed_form = kept, monitor.check(kept), True
    doubt = monitor.doubt(snapshot, kept)
    assert doubt > 0
    assert monitor.doubt(kept, kept) == 0
    hardly, clearly = (
        dataclasses.replace(session.best_check, kid=session.best_check.kid + part * doubt) for part in (0.5, 1.5)
    )
    assert not session._better(snapshot, hardly, monitor), "it has not learnt anything yet"
    session.trainer.steps = 1
    assert session._better(snapshot, hardly, monitor)
    assert not session._better(snapshot, clearly, monitor)
    session.closed_form = False
    assert not session._better(snapshot, hardly, monitor)
