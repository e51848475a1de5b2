"""picamera2 imports the Raspberry Pi's display library whatever it is used for; Debian has none."""


class PixelFormat:
    """Names of formats, which only a preview window would use."""

    RGB888 = BGR888 = XRGB8888 = XBGR8888 = YUV420 = YVU420 = MJPEG = YUYV = NV12 = ""
