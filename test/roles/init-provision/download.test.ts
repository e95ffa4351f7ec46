import { afterAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { openDownload } from "../../../src/roles/init/provision/download.ts";

const content = crypto.getRandomValues(new Uint8Array(65_536));
const large = Buffer.concat(Array.from({ length: 40 }, () => content));
const seen: { path: string; range: string | null; encoding: string | null }[] = [];
let drops = 0;

/** What servers do to us. */
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    const { pathname } = new URL(request.url);
    seen.push({ path: pathname, range: null, encoding: request.headers.get("accept-encoding") });
    switch (pathname) {
      case "/whole":
        return new Response(large);
      case "/redirect":
        return Response.redirect("/whole", 302);
      case "/loop":
        return Response.redirect("/loop", 302);
      case "/to-file":
        return new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } });
      case "/missing":
        return new Response("no", { status: 404 });
      case "/encoded":
        return new Response(gzipSync(content), { headers: { "content-encoding": "gzip" } });
      default:
        return new Response("?", { status: 500 });
    }
  },
});
afterAll(async () => {
  await server.stop(true);
});
const base = `http://127.0.0.1:${server.port}`;

/** Promises the rest of the file, sends a part and hangs up; with an ETag it honours ranges. */
const dropping = createServer((request, response) => {
  const range = request.headers.range;
  seen.push({ path: request.url ?? "", range: range ?? null, encoding: null });
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const changed = request.url?.startsWith("/changing") === true && range !== undefined;
  const whole = request.url === "/changing" || request.url === "/rangeless";
  if (request.url !== "/nameless") response.setHeader("etag", changed ? '"v2"' : '"v1"');
  if (range !== undefined && !whole) {
    response.statusCode = 206;
    const from = request.url === "/elsewhere" ? start + 1 : start;
    response.setHeader("content-range", `bytes ${from}-${large.length - 1}/${large.length}`);
  }
  response.setHeader("content-length", large.length - start);
  const broken = drops-- > 0;
  response.write(large.subarray(start, broken ? start + 400_000 : large.length), () => {
    if (broken) setTimeout(() => response.socket?.destroy(), 20);
    else response.end();
  });
});
dropping.listen(0, "127.0.0.1");
await once(dropping, "listening");
afterAll(() => dropping.close());
const address = dropping.address();
const droppingBase = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;

async function fetched(url: string, digestGiven = true, signal = new AbortController().signal) {
  const parts: Uint8Array[] = [];
  const { bytes } = await openDownload(url, { digestGiven, signal });
  for await (const part of bytes) parts.push(part.slice());
  return Buffer.concat(parts);
}

async function refused(work: Promise<unknown>): Promise<RemoteError> {
  const outcome = await work.catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(RemoteError);
  return outcome as RemoteError;
}

describe("download", () => {
  test("streams a file as it lies on the server", async () => {
    expect((await fetched(`${base}/whole`)).equals(large)).toBe(true);
    expect(seen.at(-1)?.encoding).toBe("identity");
    expect((await fetched(`${base}/encoded`)).equals(gzipSync(content))).toBe(true);
  });

  test("follows a few redirects, not many, and to no other kind of address", async () => {
    expect((await fetched(`${base}/redirect`)).equals(large)).toBe(true);
    const asked = seen.length;
    expect((await refused(fetched(`${base}/loop`))).message).toContain(
      "redirects more than 5 times",
    );
    expect(seen.length - asked).toBe(6);
    expect((await refused(fetched(`${base}/to-file`))).message).toContain("file:");
  });

  test("refuses plain http without a digest, and what is no address", async () => {
    const error = await refused(fetched(`${base}/whole?secret=1`, false));
    expect(error).toMatchObject({ code: "download-failed" });
    expect(error.message).not.toContain("secret");
    expect(await refused(fetched("no url"))).toMatchObject({ code: "download-failed" });
    expect(await refused(fetched("ftp://example/x"))).toMatchObject({ code: "download-failed" });
  });

  test("names the server's refusal", async () => {
    expect((await refused(fetched(`${base}/missing`))).message).toContain("404");
  });

  test("goes on after a lost connection where it stood", async () => {
    // More often than a server is tried that sends nothing new.
    drops = 6;
    const asked = seen.length;
    expect((await fetched(`${droppingBase}/named`)).equals(large)).toBe(true);
    const ranges = seen.slice(asked).map(({ range }) => range);
    expect(ranges.length).toBe(7);
    expect(ranges[0]).toBeNull();
    expect(ranges[1]).toMatch(/^bytes=\d+-$/);
  }, 120_000);

  test("gives up where it cannot be sure that the file is the same", async () => {
    drops = 9;
    expect(await refused(fetched(`${droppingBase}/nameless`))).toMatchObject({
      code: "download-failed",
    });
    for (const [path, because] of [
      ["/changing", "the file changed during the download"],
      ["/changing-unasked", "the file changed during the download"],
      ["/elsewhere", "the server resumed at another place than asked"],
      ["/rangeless", "the server cannot send the rest alone"],
    ] as const) {
      drops = 1;
      expect((await refused(fetched(`${droppingBase}${path}`))).message).toContain(because);
    }
  }, 120_000);

  test("stops when cancelled", async () => {
    const cancel = new AbortController();
    setTimeout(() => cancel.abort(), 30);
    drops = 99;
    const error = await refused(fetched(`${droppingBase}/named`, true, cancel.signal));
    expect(error).toMatchObject({ code: "cancelled" });
    drops = 0;
  });

  test("gives up a server that falls silent", async () => {
    const silent = createServer((request, response) => {
      if (request.url === "/half") response.writeHead(200, { etag: '"v1"' }).write("half");
    });
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const at = silent.address();
    const url = `http://127.0.0.1:${typeof at === "object" ? at?.port : 0}`;
    const read = async (path: string) => {
      const signal = new AbortController().signal;
      const options = { digestGiven: true, signal, connectMs: 1000, idleMs: 1000 };
      const { bytes } = await openDownload(`${url}${path}`, options);
      for await (const _ of bytes) continue;
    };
    expect((await refused(read("/nothing"))).message).toContain("nothing came for 1 s");
    expect((await refused(read("/half"))).message).toContain("cannot send the rest");
    silent.closeAllConnections();
    silent.close();
  }, 120_000);

  test("says which address did not answer", async () => {
    const closed = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
    const url = `http://127.0.0.1:${closed.port}/gone`;
    await closed.stop(true);
    expect(await refused(fetched(url))).toMatchObject({ code: "download-failed" });
  }, 120_000);
});
