/** Which app, at which Machines API: what users may say. */
export const defaultApiBase = "https://api.machines.dev";

export const appNameRule = "Fly's names have a-z, 0-9 and -, at most 62 of them";

export function isAppName(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,61}$/u.test(text);
}

export const apiBaseRule = "it must be an https URL; plain http only for loopback and .internal";

/** The token must not travel in the clear, except to this very computer or inside Fly's own network. */
export function isApiBase(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const host = url?.hostname ?? "";
  const near = /^(?:127(?:\.\d+){3}|localhost|\[::1\]|[\w-]+\.internal)$/u.test(host);
  const usable =
    url !== undefined && url.username === "" && url.password === "" && url.search === "";
  return usable && (url.protocol === "https:" || (url.protocol === "http:" && near));
}
