"""Every error the kiosk raises on purpose, named by who can mend it.

The message says what is wrong, with which thing, and what would be right: the installer reads it.
Programming mistakes stay `ValueError`, `TypeError` and `AssertionError`.
"""


class KioskError(Exception):
    """Anything that someone other than a programmer can mend."""


class ConfigError(KioskError):
    """The installer wrote a setting that cannot work."""


class ImageError(KioskError):
    """The sender gave bytes that are no picture we take."""


class ModelFileError(KioskError):
    """A model file is missing, changed, or of a kind that no runtime here can run."""


class ModelMismatchError(KioskError):
    """Templates of two models met; they never compare."""


class CameraLostError(KioskError):
    """The camera stopped giving frames."""


class DoorError(KioskError):
    """The lines of the relay, the lamps or the door contact could not be had or driven."""


class StoreError(KioskError):
    """The store could not be read or written."""


class KeyMissingError(StoreError):
    """The device's key is missing or is not the one that this store was written with."""


class RefusedError(KioskError):
    """Whoever asked may ask again later or otherwise: the kiosk understood and does not do this now."""


class StoppingError(KioskError):
    """The kiosk ends, or has no process to work with: whoever asked may ask again soon."""


class CloudError(KioskError):
    """The cloud did not answer, or refused."""
