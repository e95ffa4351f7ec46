import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { Digests } from "../protocol/transcript.ts";

/** The hash functions the pure login is handed. */
export const digests: Digests = {
  sha256: (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
  hmacSha256: (key, bytes) => new Uint8Array(createHmac("sha256", key).update(bytes).digest()),
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};
