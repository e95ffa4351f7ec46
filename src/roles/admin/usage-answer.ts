import { createHash } from "node:crypto";
import { usageLimits } from "./usage-limits.ts";

/** A body, its compressed form and its tag, made once for all who ask for it. */
export class UsageBody {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Weak, for it stands for the compressed bytes as well. */
  readonly etag: string;
  #zipped: Uint8Array<ArrayBuffer> | undefined;

  constructor(type: string, text: string) {
    this.type = type;
    this.bytes = new TextEncoder().encode(text);
    this.etag = `W/"${createHash("sha256").update(this.bytes).digest("base64url").slice(0, 22)}"`;
  }

  zipped(): Uint8Array<ArrayBuffer> {
    this.#zipped ??= Bun.gzipSync(this.bytes);
    return this.#zipped;
  }
}

export const jsonType = "application/json; charset=utf-8";

/** 304 for whoever has it already, gzip for whoever takes it. */
export function answerWith(
  body: UsageBody,
  request: Pick<Request, "headers" | "method">,
  more: Readonly<Record<string, string>>,
): Response {
  const headers = {
    ...plainHeaders,
    ...more,
    etag: body.etag,
    vary: "accept-encoding",
    "content-type": body.type,
  };
  if (isKnown(request.headers.get("if-none-match"), body.etag))
    return new Response(null, { status: 304, headers });
  const zip =
    body.bytes.length >= usageLimits.gzipBytesMin &&
    takesGzip(request.headers.get("accept-encoding") ?? "");
  const bytes = zip ? body.zipped() : body.bytes;
  return new Response(request.method === "HEAD" ? null : bytes, {
    headers: {
      ...headers,
      "content-length": String(bytes.length),
      ...(zip ? { "content-encoding": "gzip" } : {}),
    },
  });
}

/** No detail that would help a stranger. */
export function refuse(
  status: number,
  error: string,
  more: Readonly<Record<string, string>> = {},
): Response {
  return Response.json({ error }, { status, headers: { ...plainHeaders, ...more } });
}

function isKnown(header: string | null, etag: string): boolean {
  if (header === null) return false;
  const tags = new Set(header.split(",").map((tag) => tag.trim()));
  return tags.has("*") || tags.has(etag) || tags.has(etag.slice(2));
}

function takesGzip(header: string): boolean {
  return header.split(",").some((choice) => {
    const [coding = "", ...parameters] = choice.split(";").map((part) => part.trim());
    const isOff = parameters.some((parameter) => /^q=0(?:\.0*)?$/iu.test(parameter));
    return /^(?:x-)?gzip$/iu.test(coding) && !isOff;
  });
}

const plainHeaders = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
} as const;
