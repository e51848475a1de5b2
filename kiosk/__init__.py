"""Edge face verification: Didit's face contract, decided on the device."""

__version__ = "0.1.0"
