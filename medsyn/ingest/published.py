"""The 2-D sets that MedMNIST v2 published: what their file names say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medsyn.config import Modality


@dataclass(frozen=True)
class Published:
    """One 2-D set of MedMNIST v2 (Yang et al. 2023, doi:10.1038/s41597-022-01721-8).

    Attributes:
        names: Of the labels 0, 1 ...; of a multi-label set, of the columns.
        modality: None where no preset fits: the user has to choose one.
        note: What a user of the images has to know.
    """

    names: tuple[str, ...]
    modality: Modality | None = None
    several: bool = False
    note: str = ""


_ABDOMEN = Published(
    (
        *("bladder", "femur_left", "femur_right", "heart", "kidney_left", "kidney_right", "liver"),
        *("lung_left", "lung_right", "pancreas", "spleen"),
    ),
    "ct",
    note="CT windowed to 8 bits by its publisher, without Hounsfield units",
)
KNOWN = {  # file name -> what was published under it
    "pneumoniamnist": Published(("normal", "pneumonia"), "xray"),
    "chestmnist": Published(
        (
            *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia"),
            *("pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
        ),
        "xray",
        several=True,
    ),
    "breastmnist": Published(("malignant", "normal_benign"), "ultrasound"),
    "organamnist": _ABDOMEN,
    "organcmnist": _ABDOMEN,
    "organsmnist": _ABDOMEN,
    "octmnist": Published(("choroidal_neovascularization", "diabetic_macular_edema", "drusen", "normal")),
    "retinamnist": Published(("0", "1", "2", "3", "4")),  # grades of diabetic retinopathy
    "dermamnist": Published(
        (
            *("actinic_keratosis", "basal_cell_carcinoma", "benign_keratosis", "dermatofibroma"),
            *("melanoma", "melanocytic_nevus", "vascular_lesion"),
        )
    ),
    "pathmnist": Published(
        (
            *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth_muscle", "normal_colon_mucosa"),
            *("cancer_associated_stroma", "colorectal_adenocarcinoma_epithelium"),
        )
    ),
    "bloodmnist": Published(
        (
            *("basophil", "eosinophil", "erythroblast", "immature_granulocyte", "lymphocyte", "monocyte"),
            *("neutrophil", "platelet"),
        )
    ),
    "tissuemnist": Published(
        (
            *("collecting_duct_connecting_tubule", "distal_convoluted_tubule", "glomerular_endothelial_cell"),
            *("interstitial_endothelial_cell", "leukocyte", "podocyte", "proximal_tubule_segment"),
            "thick_ascending_limb",
        )
    ),
}


def known(path: str) -> Published | None:
    """What is known of a published set, by its file name (``pneumoniamnist_64.npz`` counts too)."""
    return KNOWN.get(Path(path).stem.lower().split("_")[0])
