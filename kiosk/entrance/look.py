"""One frame and its faces: each is traced and compared at most once, and only where somebody asks."""

from __future__ import annotations

from collections.abc import Sequence

from kiosk.entrance.screen import Place
from kiosk.recognition.flash import Shown
from kiosk.recognition.judgement import Seen
from kiosk.recognition.pipeline import MESH_PRESENCE, Recogniser
from kiosk.recognition.quality import Quality, measure
from kiosk.rules.presentation import View
from kiosk.types import Face, Floats, Frame, Template


class Look:
    """What a frame shows. One thread's."""

    def __init__(self, frame: Frame, faces: Sequence[Face], recogniser: Recogniser) -> None:
        """Take a frame, its faces, largest first, and what measures and compares them."""
        self.frame, self.faces = frame, faces
        self._recogniser = recogniser
        self._exact: dict[int, tuple[Face, Floats | None]] = {}
        self._templates: dict[int, Template] = {}

    @property
    def view(self) -> View:
        """The frame as the rules take it. Not kept, as it leads back here: frames would wait for the collector."""
        return View(self.frame.number, self.frame.captured_at, self._size_wh, self.faces, self._measure, self._extract)

    @property
    def _size_wh(self) -> tuple[int, int]:
        height, width = self.frame.image.shape[:2]
        return width, height

    @property
    def place(self) -> Place | None:
        """Where the largest face is."""
        if not self.faces:
            return None
        width, height = self._size_wh
        x1, y1, x2, y2 = self.faces[0].box.tolist()
        return round(x1 / width, 3), round(y1 / height, 3), round(x2 / width, 3), round(y2 / height, 3)

    def seen(self, people: Sequence[Face], shown: tuple[Shown, ...] = ()) -> Seen:
        """Return the frame as the judgement of liveness takes it.

        Args:
            people: those of the faces that count, largest first.
            shown: the colours that the screen says it has shown.
        """
        faces, mesh = tuple(people), None
        if faces:
            exact, mesh = self._sharp(faces[0])
            faces = (exact, *faces[1:])

        def template() -> Template:
            return self._extract(people[0])

        return Seen(self.frame.number, self.frame.captured_at, self.frame.image, faces, mesh, template, shown)

    def _sharp(self, face: Face) -> tuple[Face, Floats | None]:
        """Return the face with exact landmarks and its mesh, where the mesh sees a face in it."""
        if id(face) not in self._exact:
            if self._recogniser.trace is None:
                self._exact[id(face)] = self._recogniser.sharpen(self.frame.image, face), None
            else:
                refined, presence, points = self._recogniser.trace(self.frame.image, face)
                self._exact[id(face)] = (refined, points) if presence >= MESH_PRESENCE else (face, None)
        return self._exact[id(face)]

    def _measure(self, face: Face) -> Quality:
        return measure(self.frame.image, self._sharp(face)[0])

    def _extract(self, face: Face) -> Template:
        if id(face) not in self._templates:
            self._templates[id(face)] = self._recogniser.extract(self.frame.image, self._sharp(face)[0])
        return self._templates[id(face)]
