/** Calls of the device. Every error comes out as one kind, with a sentence that a person can read. */

import { t } from "./words.js";

let csrf = null;

/** Something the device refused, or no answer at all (status 0). */
export class ApiError extends Error {
  constructor(status, sentence, { fields = {}, retryAfter = null, body = null } = {}) {
    super(sentence);
    this.status = status;
    this.fields = fields;
    this.retryAfter = retryAfter;
    this.body = body;
  }
}

/** Keep the session's token, which every call that changes something must carry. */
export function carry(session) {
  csrf = session ? session.csrf : null;
}

/** Return a path with a query; empty values are left out. */
export function path(base, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `${base}?${new URLSearchParams(kept)}` : base;
}

/**
 * Call the device and return its JSON, or with `as` its "text", its "blob" or the whole "response"; null for an answer
 * without a body.
 *
 * A 401 on anything but the session itself also tells the page ("signed-out" on window).
 */
export async function call(method, address, { json, form, query, signal, as = "json" } = {}) {
  const headers = {};
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (csrf && method !== "GET") headers["X-Kiosk-CSRF"] = csrf;
  let answer;
  try {
    answer = await fetch(path(address, query), {
      method,
      headers,
      body: json !== undefined ? JSON.stringify(json) : form,
      signal,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, t("error.offline"));
  }
  if (!answer.ok) throw await refused(answer, address);
  if (answer.status === 204) return null;
  return as === "response" ? answer : answer[as]();
}

async function refused(answer, address) {
  let body = null;
  try {
    body = await answer.json();
  } catch {
    body = null; // a proxy's page, or nothing: the status says enough
  }
  if (answer.status === 401 && address !== "/device/session") window.dispatchEvent(new Event("signed-out"));
  const fields = {};
  for (const [name, value] of Object.entries(body && typeof body === "object" ? body : {})) {
    if (Array.isArray(value) && value.every((one) => typeof one === "string")) fields[name] = value.join(" ");
  }
  const first = Object.entries(fields)[0];
  const told = body?.sentence ?? body?.detail ?? (first && `${first[0]}: ${first[1]}`);
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  return new ApiError(answer.status, told ? String(told) : t("error.status", { status: answer.status }), {
    fields,
    retryAfter,
    body,
  });
}
