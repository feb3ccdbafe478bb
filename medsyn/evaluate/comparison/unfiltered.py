"""The chosen synthetic arm once more, on images that no filter has seen: what is the filter worth?"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from medsyn.errors import DataError, MissingError
from medsyn.evaluate.comparison.group import Group
from medsyn.evaluate.comparison.places import Places
from medsyn.evaluate.comparison.utility import Utility
from medsyn.evaluate.inputs.images import Images
from medsyn.evaluate.inputs.resolve import Given
from medsyn.progress import Progress
from medsyn.synthetic.unfiltered import Unfiltered, make
from medsyn.workspace import Workspace


@dataclass(frozen=True)
class Beside:
    """The set with nothing filtered out, and the chosen arm trained on it.

    Attributes:
        swapped: Rejected candidates, and the places that they take.
        images: The unfiltered set, class by class in the rows of the set.
        group: The arm; its test predictions are sealed still.
    """

    swapped: Unfiltered
    images: Images
    group: Group


def train(
    given: Given | None, workspace: Workspace, places: Places, comparison: Utility, deciding: Group
) -> Beside | str:
    """Train the chosen synthetic arm on the unfiltered set, after all arms have been chosen.

    Rows of the set, initial weights and order of the batches are those of the chosen arm: what differs are the rejected
    images alone. Nothing is opened here, and nothing is chosen by what is trained here.

    Args:
        given: The set as it is; None where generators are trained in this evaluation.
        workspace: Where its generator is looked for.
        places: Gives the images of a setting.
        comparison: All arms.
        deciding: Those of the verdict.

    Returns:
        The arm, or why there is nothing to compare: the end of a sentence.
    """
    if given is None:
        return "generators are trained in this evaluation, and their sets are judged as they come"
    progress = comparison.progress
    swapped = rejected(given, workspace, comparison.engine.device, progress)
    if isinstance(swapped, str):
        return swapped
    progress.say(f"Selection: training {deciding.classifier} with {len(swapped.rows)} rejected images in their places")
    own = given.images
    images = Images(swapped.place(own.pixels), own.labels, own.units, own.rows)
    comparison.engine.bank.but_for(images.pixels, own.pixels, swapped.rows)
    setting = places.instead(deciding.setting, f"{deciding.setting.name}, unfiltered", images)
    return Beside(swapped, images, comparison.add(setting, deciding.classifier, deciding.pair[0]))


def rejected(given: Given, workspace: Workspace, device: torch.device, progress: Progress) -> Unfiltered | str:
    """The rejected candidates of a set, made again, or why there are none: the end of a sentence."""
    if given.opened is None:
        return "the set was made by another tool, and no rejected candidates are known"
    if given.card.get("selection", {}).get("kept_all"):
        return "the set was made to keep every candidate"
    if given.opened.candidates()["accepted"].all():
        return "no candidate was rejected"
    progress.say("Selection: making rejected candidates again")
    try:
        found = make(given.opened, given.images.pixels, workspace, device)
    except (MissingError, DataError) as error:
        return f"the rejected candidates cannot be made again, because {error.what}"
    return found if len(found.rows) else "no candidate was rejected before its class was complete"
