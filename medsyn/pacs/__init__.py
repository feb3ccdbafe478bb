"""An archive of scans (PACS) by DICOMweb, both ways: sending synthetic sets to it, fetching scans from it.

DICOMweb is DICOM over HTTP (PS3.18): STOW-RS stores, QIDO-RS searches, WADO-RS retrieves.
"""
