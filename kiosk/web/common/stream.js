/**
 * Server-sent events over fetch. EventSource would do, but for two things: it cannot tell a dead line from a quiet
 * one (the server's heartbeats are comments, which it swallows), and it gives up on an error status for ever.
 */

const SILENCE_MS = 40_000; // the server says something every 15 s
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/**
 * Listen until `close` of what is returned.
 *
 * hear(topic, data): an event. tell(state): "open", "lost" (tried again by itself), "refused" (a 401 or 403) or
 * "none" (a 409: a kiosk without camera and door has no news).
 */
export function listen(address, { hear, tell }) {
  let isClosed = false;
  let wait = FIRST_WAIT_MS;
  let attempt = new AbortController();
  let timer = null;

  async function connect() {
    attempt = new AbortController();
    let watch = null;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => attempt.abort(), SILENCE_MS);
    };
    try {
      alive();
      const answer = await fetch(address, { signal: attempt.signal, cache: "no-store", credentials: "same-origin" });
      if ([401, 403, 409].includes(answer.status)) {
        isClosed = true;
        tell(answer.status === 409 ? "none" : "refused");
        return;
      }
      if (!answer.ok || !answer.body) throw new Error(`status ${answer.status}`);
      let isOpen = false;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parse = parser(hear);
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        alive();
        if (!isOpen) {
          isOpen = true; // the first bytes, not the headers, say that somebody listens there for us
          wait = FIRST_WAIT_MS;
          tell("open");
        }
        parse(value);
      }
    } catch {
      // Whatever it was, the line is gone; below we try again.
    } finally {
      clearTimeout(watch);
    }
    if (isClosed) return;
    tell("lost");
    timer = setTimeout(connect, wait);
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }

  connect();
  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
      attempt.abort();
    },
  };
}

/** Return a function that takes pieces of an event stream as they come, and calls `hear` with each event in them. */
export function parser(hear) {
  let rest = "";
  let topic = "";
  let lines = [];
  return (piece) => {
    const parts = (rest + piece).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      const line = part.endsWith("\r") ? part.slice(0, -1) : part;
      if (line === "") {
        if (lines.length) hear(topic || "message", JSON.parse(lines.join("\n")));
        topic = "";
        lines = [];
      } else if (line.startsWith("event:")) topic = line.slice(6).trim();
      else if (line.startsWith("data:")) lines.push(line.slice(5).replace(/^ /, ""));
    }
  };
}
