/** The camera of whoever opened the page, and one picture of it. */

const LONGEST_PX = 1920;

/** Open the camera that suits: the front one for a selfie. Rejects where there is none, or it may not be used. */
export async function openCamera(kind) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error("no camera");
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: kind === "selfie" ? "user" : "environment", width: { ideal: 1280 }, height: { ideal: 960 } },
  });
  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  await video.play();
  return { video, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

/** Return what the camera sees now, as JPEG. */
export function shoot({ video }) {
  const scale = Math.min(1, LONGEST_PX / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}
