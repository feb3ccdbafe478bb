"""A synthetic set on disk: what `augment` writes, `evaluate` reads, and any other tool can open.

::

    card.json card.md              what this is, from which checkpoint, with which limits; card.json is written last
    manifest.parquet manifest.csv  one row a candidate that was judged, accepted or not
    labels.csv                     one row a file: file, label, patient_id, format, synthetic
    SHA256SUMS                     of every other file but card.json, as `sha256sum -c` reads it
    images/<class>/<k>.png         8 or 16 bit, one folder a class
    dicom/<class>/<k>.dcm          Secondary Capture, each a patient of its own
    nifti/<class>/<k>.nii.gz       with <k>.json beside it
    images.npz                     MedMNIST's key layout: train_images, train_labels, ...
    contact_sheets/<class>.png     the first images of each class
"""

from medsyn.synthetic.manifest import FORMATS, MANIFEST, SCHEMA_VERSION
from medsyn.synthetic.set import SyntheticSet

__all__ = ["FORMATS", "MANIFEST", "SCHEMA_VERSION", "SyntheticSet"]
