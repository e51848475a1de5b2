"""Let an unmodified picamera2 drive libcamera's virtual camera: read by every Python that has this folder on its path.

Only what the virtual camera of libcamera 0.4 lacks is replaced, when picamera2 is imported:
raw sensor modes; the status of a finished frame, which it leaves uninitialised; its rate; and the mapping of its
frames, which are one buffer in several planes. A file named by KIOSK_VIRTUAL_UNPLUGGED makes a pulled cable: no more
frames come, and nothing is raised, as on a Raspberry Pi.
"""

import importlib.abc
import importlib.machinery
import inspect
import mmap
import os
import sys
import textwrap
import time

NAME = "picamera2.picamera2"
FRAMES_PER_S = 15
UNPLUGGED = os.environ.get("KIOSK_VIRTUAL_UNPLUGGED", "/nonexistent")


class Finder(importlib.abc.MetaPathFinder):
    """Finds picamera2 where it is, and patches it once it is loaded."""

    def find_spec(self, name, path, target=None):
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            load = spec.loader.exec_module

            def load_and_patch(module):
                load(module)
                patch(module)

            spec.loader.exec_module = load_and_patch
        return spec


def patch(module):
    camera = module.Picamera2
    status = "next(iter(req.request.buffers.values())).metadata.status == libcamera.FrameMetadata.Status.Success"
    source = textwrap.dedent(inspect.getsource(camera.process_requests))
    if status not in source:
        raise RuntimeError("this picamera2 tests a frame's status otherwise; tests/virtual/shim wants a look")
    names = {}
    exec(source.replace(status, "True"), module.__dict__, names)
    process = names["process_requests"]

    def process_unless_unplugged(self, display):
        if not os.path.exists(UNPLUGGED):  # noqa: PTH110  quick: it is asked with each frame
            process(self, display)
            time.sleep(1.0 / FRAMES_PER_S)  # the virtual camera fills all four buffers as fast as they come back
            return
        with self._requestslock:
            requests, self._requests = self._requests, []
        for request in requests:
            request.release()

    camera.process_requests = process_unless_unplugged
    camera._get_raw_modes = lambda _: [{"format": "SRGGB8", "size": (1280, 720)}]
    begin = camera.__init__

    def begin_with_plain_memory(self, camera_num=0, **kept):
        begin(self, camera_num, allocator=object(), **kept)
        self.allocator = plain_memory()(self.camera)

    camera.__init__ = begin_with_plain_memory
    module.DmaAllocator = lambda: None  # close() makes one, and there is no /dev/dma_heap


def plain_memory():
    from picamera2.allocators import LibcameraAllocator

    class Mapped:
        """A frame's planes, which lie behind one another in one buffer."""

        def __init__(self, _, buffer, write):  # noqa: ARG002  picamera2 names it
            self.planes = buffer.planes

        def __enter__(self):
            length = sum(plane.length for plane in self.planes)
            descriptor = self.planes[0].fd
            whole = os.lseek(descriptor, 0, os.SEEK_END) or length
            self.memory = mmap.mmap(descriptor, whole, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            self.view = memoryview(self.memory)[:length]
            return self.view

        def __exit__(self, *_):
            self.view = self.memory = None

    class PlainMemory(LibcameraAllocator):
        def __init__(self, camera):
            super().__init__(camera)
            self.sync = Mapped
            self.mapped_buffers = {}

        def acquire(self, _):
            pass

        def release(self, _):
            pass

    return PlainMemory


sys.meta_path.insert(0, Finder())
