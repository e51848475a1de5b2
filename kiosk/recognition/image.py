"""Pixels in, pixels out: turn, fit, align and crop; and a frame as a JPEG.

The one module of the core that uses cv2. All images are (H, W, 3) uint8 RGB unless a docstring says
otherwise, and no function here changes the image it is given.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from kiosk.types import Floats, RgbImage

ANGLES_DEG = (0, 90, 180, 270)
"""The turns a picture may need, clockwise."""

ARCFACE_SIDE = 112
ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
"""Where a recogniser expects the five landmarks in a 112 x 112 crop.

Source: `arcface_src` in deepinsight/insightface, recognition/common/face_align.py (MIT).
"""

GREY = 127  # fills what lies outside a picture: a network that shifts pixels by their mean reads it as nothing
AREA_OVERSAMPLING = 4  # source samples a target pixel averages along each edge, at most 5; see `shrink`
ALIASING_SCALE = 0.5  # bilinear sampling reads 2 x 2 pixels, so below this it skips some
PORTRAIT_PX = 320  # long edge of the crop that a reviewer is shown
PORTRAIT_MARGIN = 0.45  # of the face's box, on each side of it
JPEG_QUALITY = 90  # of a frame that is shown or kept


def rotate(image: RgbImage, angle_deg: int) -> RgbImage:
    """Turn an image clockwise by a quarter, a half or three quarters.

    Args:
        image: (H, W, 3) uint8.
        angle_deg: 0, 90, 180 or 270, clockwise.

    Returns:
        The turned image in memory of its own; for 0 the image itself.

    Raises:
        ValueError: another angle.

    >>> rotate(np.array([[1, 2], [3, 4]], np.uint8), 90).tolist()
    [[3, 1], [4, 2]]
    """
    if angle_deg not in ANGLES_DEG:
        raise ValueError(f"want an angle of {ANGLES_DEG}, got {angle_deg}")
    if angle_deg == 0:
        return image
    # cv2 turns by blocks: on 12 megapixels several times faster than copying np.rot90's view.
    codes = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    return np.asarray(cv2.rotate(image, codes[angle_deg]), np.uint8)


def shrink(image: RgbImage, long_edge: int) -> tuple[RgbImage, float]:
    """Scale an image so that its longer edge has the length given; small ones grow.

    A photograph far larger than the result is thinned out first, to some 4 x 4 samples a target
    pixel: the average of these is as good for a network as that of all, and 12 megapixels cost
    the same as one.

    Returns:
        The scaled image, no edge shorter than 1 px, and `scale` = its px per px of `image`.
    """
    height, width = image.shape[:2]
    scale = long_edge / max(height, width)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    if scale >= 1.0:
        grown = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
        return np.asarray(grown, np.uint8), scale
    return _average(image, size_wh, scale), scale


def _average(image: RgbImage, size_wh: tuple[int, int], scale: float) -> RgbImage:
    """Shrink an image to a size, which is `scale` times its own but for rounding.

    It is thinned out, halved while it is twice too large or more, and the rest of the way interpolated: as good for a
    network as the mean over areas, which takes five times as long.
    """
    step = int(1.0 / (scale * AREA_OVERSAMPLING))
    if step > 1:
        image = _thinned(image, step)
    wide, high = 2 * size_wh[0], 2 * size_wh[1]
    while image.shape[1] >= wide and image.shape[0] >= high and not (image.shape[0] % 2 or image.shape[1] % 2):
        half_wh = image.shape[1] // 2, image.shape[0] // 2
        image = np.asarray(cv2.resize(image, half_wh, interpolation=cv2.INTER_AREA), np.uint8)
    is_near = image.shape[1] < wide and image.shape[0] < high  # of an odd edge, half would be another place
    return np.asarray(
        cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR if is_near else cv2.INTER_AREA), np.uint8
    )


def _thinned(image: RgbImage, step: int) -> RgbImage:
    """Take the middle pixel of each whole square of `step` px, so that the picture neither shifts nor grows.

    An even step has two middles; where nothing is left over behind the last one, the first is taken, else the second.
    cv2 does it three times as fast as slicing does, which copies three bytes at a time.

    >>> _thinned(np.arange(100, dtype=np.uint8).reshape(10, 10), 3).tolist()
    [[11, 14, 17], [41, 44, 47], [71, 74, 77]]
    """
    step_y, step_x = (min(step, length) for length in image.shape[:2])
    top, left = (_middle(length, each) for length, each in zip(image.shape[:2], (step_y, step_x), strict=True))
    part = image[top:, left:]
    thin = cv2.resize(part, None, fx=1.0 / step_x, fy=1.0 / step_y, interpolation=cv2.INTER_NEAREST)
    return np.asarray(thin, np.uint8)


def _middle(length: int, step: int) -> int:
    """Return where the first middle lies; so that what is left from there rounds to as many steps as there are.

    >>> _middle(9, 3), _middle(10, 3), _middle(8, 4), _middle(9, 4), _middle(1, 1)
    (1, 1, 1, 2, 0)
    """
    return step // 2 - (step % 2 == 0 and length % step == 0)


def place(image: RgbImage, size_wh: tuple[int, int], corner_xy: tuple[int, int] = (0, 0)) -> RgbImage:
    """Put an image into a black one.

    Args:
        image: (H, W, 3) uint8, which fits in at that place.
        size_wh: of the black one, px.
        corner_xy: where the image's top left corner comes to lie, px.

    Returns:
        (size_wh[1], size_wh[0], 3) uint8; the image itself where it has that size.
    """
    left, top = corner_xy
    height, width = image.shape[:2]
    if (width, height) == size_wh:
        return image
    larger = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    larger[top : top + height, left : left + width] = image
    return larger


def window(image: RgbImage, corner_xy: tuple[int, int], side: int) -> RgbImage:
    """Cut a square out of an image; what of it lies outside the image is black.

    Args:
        image: (H, W, 3) uint8.
        corner_xy: top left, px of the image; may lie outside.
        side: edge of the square, px.

    Returns:
        (side, side, 3) uint8; a view where the square lies wholly inside.
    """
    left, top = corner_xy
    part = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if part.shape[:2] == (side, side):
        return part
    square = np.zeros((side, side, 3), np.uint8)
    x, y = max(0, -left), max(0, -top)
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square


def letterbox(image: RgbImage, side: int) -> tuple[RgbImage, float]:
    """Fit an image into a square, keeping its shape; the rest stays black.

    The picture sits in the top-left corner, so one division by `scale` takes a box from
    the square back to the frame, with no offset to forget.

    Args:
        image: (H, W, 3) uint8, RGB.
        side: edge of the square, px.

    Returns:
        The square, (side, side, 3) uint8, and `scale` = square px per frame px.
    """
    small, scale = shrink(image, side)
    return place(small, (side, side)), scale


def similarity(source: Floats, target: Floats) -> Floats:
    """Return the turn, scale and shift that takes points closest to others.

    Args:
        source: (N, 2) px, not all in one place.
        target: (N, 2) px, where they should come to lie.

    Returns:
        (2, 3) float32: `matrix @ (x, y, 1)`. Never a mirror image. Closest = least squares.

    Raises:
        ValueError: a point is not finite, or all source points are in one place.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point
    patterns", eqs. 38-43. In the plane, with complex numbers, the solution is the quotient below.
    """
    here = source.astype(np.float64) @ np.array([1, 1j])
    there = target.astype(np.float64) @ np.array([1, 1j])
    centred = here - here.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if not (np.isfinite(source).all() and spread > 0.0):
        raise ValueError(f"no similarity transform fits the points {source.tolist()}")
    turn = complex(np.sum(centred.conj() * (there - there.mean())) / spread)
    shift = complex(there.mean() - turn * here.mean())
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float32)


def warp(image: RgbImage, matrix: Floats, size_wh: tuple[int, int], *, fill: int = 0, sharp: bool = False) -> RgbImage:
    """Draw an image through a similarity transform, without aliasing when it shrinks.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3), takes px of `image` to px of the result.
        size_wh: of the result, px.
        fill: grey level of what lies outside the image.
        sharp: enlarge by cubic interpolation, which keeps more of a small face than linear does.

    Returns:
        (size_wh[1], size_wh[0], 3) uint8. Parts outside the image have the grey level `fill`.
    """
    scale = math.hypot(float(matrix[0, 0]), float(matrix[1, 0]))
    if scale < ALIASING_SCALE:
        image, matrix = _shrunk_part(image, matrix, size_wh, scale, fill)
    interpolation = cv2.INTER_CUBIC if sharp and scale > 1.0 else cv2.INTER_LINEAR
    return np.asarray(
        cv2.warpAffine(image, matrix, size_wh, flags=interpolation, borderValue=(fill, fill, fill)), np.uint8
    )


def _shrunk_part(
    image: RgbImage, matrix: Floats, size_wh: tuple[int, int], scale: float, fill: int
) -> tuple[RgbImage, Floats]:
    """Cut out what a warp will read, at about the size at which it comes out.

    Returns:
        The part, and the matrix from its px to the result; one px of `fill` where nothing is read.
    """
    full = np.vstack([matrix.astype(np.float64), [0.0, 0.0, 1.0]])
    width, height = size_wh
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    read = (corners @ np.linalg.inv(full).T)[:, :2]
    margin = 1.0 / scale
    lows, highs = np.floor(read.min(axis=0) - margin), np.ceil(read.max(axis=0) + margin)
    (left, right), (top, bottom) = (
        _in_steps(int(low), int(high), length, scale)
        for low, high, length in zip(lows, highs, (image.shape[1], image.shape[0]), strict=True)
    )
    part = image[top:bottom, left:right]
    if part.size == 0:
        return np.full((1, 1, 3), fill, np.uint8), matrix
    small_wh = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    small = _average(part, small_wh, scale)
    along_x, along_y = part.shape[1] / small_wh[0], part.shape[0] / small_wh[1]
    # Pixel centres lie at whole numbers, so an edge is half a pixel further out than its pixel.
    back = np.array(
        [
            [along_x, 0.0, left + (along_x - 1.0) / 2.0],
            [0.0, along_y, top + (along_y - 1.0) / 2.0],
            [0.0, 0.0, 1.0],
        ]
    )
    return small, (full @ back)[:2].astype(np.float32)


def _in_steps(low: int, high: int, length: int, scale: float) -> tuple[int, int]:
    """Widen a stretch of an edge so that `_average` can thin it out and halve it as often as it wants to.

    A stretch of odd length would be averaged over areas, which takes three times as long.

    Args:
        low: px where the stretch begins; may lie outside the edge, as its end may.
        high: px behind its end.
        length: of the edge, px.
        scale: px of the result per px of the stretch, below 1.

    Returns:
        Begin and end within the edge. The length divides only where the edge has room for that.

    >>> _in_steps(10, 433, 640, 0.4), _in_steps(-7, 633, 639, 0.4), _in_steps(217, 640, 640, 0.4)
    ((10, 434), (0, 634), (216, 640))
    """
    low, high = min(max(low, 0), length), min(max(high, 0), length)
    step = max(1, int(1.0 / (scale * AREA_OVERSAMPLING)))
    unit = step << max(0, int(math.log2(1.0 / (scale * step))))
    wanted = -(-(high - low) // unit) * unit
    high = min(low + wanted, length)
    return max(high - wanted, 0), high


def align(image: RgbImage, landmarks: Floats, side: int = ARCFACE_SIDE, share: float = 1.0) -> RgbImage:
    """Turn and scale a face so that its landmarks lie where the network expects them.

    Args:
        image: (H, W, 3) uint8, the whole frame; a crop would lose pixels at the rim.
        landmarks: (5, 2) float32 px, in the order of types.py.
        side: edge of the result, px; the network's, from the manifest.
        share: of the frame that ArcFace's frame takes up; 0.9 leaves a twentieth more around.

    Returns:
        (side, side, 3) uint8. Parts outside the frame are grey.

    Raises:
        ValueError: the landmarks are all in one place or not finite, so no transform fits.

    Source: Umeyama 1991; target points: the five published with ArcFace.
    """
    target = ((ARCFACE_POINTS / ARCFACE_SIDE - 0.5) * share + 0.5) * side
    return warp(image, similarity(landmarks, target.astype(np.float32)), (side, side), fill=GREY, sharp=True)


def crop(image: RgbImage, box_xyxy: Floats, margin: float = 0.0) -> RgbImage:
    """Cut a box out of an image.

    Args:
        image: (H, W, 3) uint8.
        box_xyxy: (4,) px; may reach beyond the image.
        margin: added on each side, as a share of the box's longer edge.

    Returns:
        A view of what lies within the image; a box wholly outside gives an image without pixels.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    more = margin * max(x2 - x1, y2 - y1)
    left, right = (min(max(round(x), 0), width) for x in (x1 - more, x2 + more))
    top, bottom = (min(max(round(y), 0), height) for y in (y1 - more, y2 + more))
    return image[top:bottom, left:right]


def brighten(image: RgbImage, gain: float, blur_px: float) -> RgbImage:
    """Smooth an image by a Gaussian and multiply it; values stop at 255.

    Args:
        image: (H, W, 3) uint8.
        gain: factor, above 0.
        blur_px: standard deviation of the Gaussian.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), blur_px)
    return np.asarray(np.clip(smooth * gain + 0.5, 0, 255), np.uint8)


def laplacian(luma: Floats) -> Floats:
    """Return the second derivative of a (H, W) float32 picture: large where it is sharp."""
    return np.asarray(cv2.Laplacian(luma, cv2.CV_32F), np.float32)


def box_crop(image: RgbImage, box_xyxy: Floats) -> RgbImage:
    """Cut out a box that lies in the image: a view, at least one pixel large."""
    left, top, right, bottom = (int(value) for value in box_xyxy)
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]


def squeeze(image: RgbImage, size_wh: tuple[int, int]) -> RgbImage:
    """Scale an image to a size, whatever its shape."""
    shrinks = size_wh[0] < image.shape[1]
    scaled = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def grey(image: RgbImage) -> NDArray[np.uint8]:
    """Return the (H, W) luma of an image."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def track(before: NDArray[np.uint8], after: NDArray[np.uint8], points: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Follow points from one picture to the next by optical flow (Lucas and Kanade, in pyramids).

    Args:
        before: (H, W) uint8.
        after: the same size.
        points: (N, 2) px of `before`.

    Returns:
        (N, 2) float32 px of `after`, and (N,) whether each was found there and back again.
    """
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, points.copy(), winSize=(15, 15), maxLevel=2)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, points.copy(), winSize=(15, 15), maxLevel=2)
    is_same = np.linalg.norm(np.asarray(back) - points, axis=1) < 1.0
    good = (found.ravel() == 1) & (found_back.ravel() == 1) & is_same
    return np.asarray(there, np.float32), np.asarray(good, np.bool_)


def portrait(image: RgbImage, box_xyxy: Floats) -> bytes:
    """Return a face and some of what is around it as a small JPEG, for somebody to look at.

    Args:
        image: (H, W, 3) uint8 RGB.
        box_xyxy: (4,) px, of the face.
    """
    return encoded(shrink(np.ascontiguousarray(crop(image, box_xyxy, PORTRAIT_MARGIN)), PORTRAIT_PX)[0])


def encoded(image: RgbImage) -> bytes:
    """Return a camera's frame as a JPEG; photographs that people give are `photo.as_jpeg`'s.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    is_done, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    assert is_done  # a picture in memory of its own cannot fail to be a JPEG
    return bytes(jpeg)
