"""What a document says: machine-readable zones and barcodes, read, checked and compared. Pure.

Reading order: alphabet, mrz (layouts and check digits), reading (a photograph to cells), resolve (cells to text), aamva
(a driving licence's barcode), facts (either as one person's details), judge (what speaks against it), countries. Stands
beside rules, gallery and didit; imports recognition and what lies below, and is imported by device and above.
"""
