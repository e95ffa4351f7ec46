import { afterAll, beforeAll, expect, test } from "bun:test";
import { downloadFile } from "../../../../src/roles/client/update/release-download.ts";
import { mayLeadTo, releaseSource } from "../../../../src/roles/client/update/release-source.ts";
import { ReleaseHost } from "../../../support/release-host.ts";
import { rejection } from "../../../support/rejection.ts";

let host: ReleaseHost;
beforeAll(async () => {
  host = await ReleaseHost.open();
});
afterAll(async () => host.close());

const to = (location: string) => () => Response.redirect(location, 302);
const from = (base: string) => releaseSource({ FLY_VAULT_RELEASES: base }).base;
const may = (start: string, next: string) => mayLeadTo(new URL(next), new URL(start));
const options = { bytesMax: 1000, timeoutMs: 5000 };

test("downloadFile gives the bytes, counts them, and knows what is not there", async () => {
  host.files.set("/file", "x".repeat(1000));
  const seen: number[] = [];
  const bytes = await downloadFile(`${host.base}/file`, {
    ...options,
    onBytes: (received) => seen.push(received),
  });
  expect(bytes?.length).toBe(1000);
  expect(seen.at(-1)).toBe(1000);
  expect(await downloadFile(`${host.base}/nothing`, options)).toBeUndefined();
});

test("downloadFile takes no byte more than allowed, whatever the headers say", async () => {
  host.files.set("/much", "x".repeat(1001));
  host.files.set("/endless", () => new Response(endless()));
  for (const name of ["much", "endless"]) {
    expect(await rejection(downloadFile(`${host.base}/${name}`, options))).toMatchObject({
      code: "FV-UPD-001",
      because: expect.stringContaining("more than 1000 B"),
    });
  }
});

test("downloadFile follows redirects, but not in circles and not to where others may write", async () => {
  host.files.set("/here", "found");
  host.files.set("/one", to("/releases/here"));
  host.files.set("/circle", to("/releases/circle"));
  host.files.set("/plain", to("http://releases.example/file"));
  host.files.set("/other", to("file:///etc/passwd"));
  expect(String(await downloadFile(`${host.base}/one`, options))).toBe("found");
  const reasons = [
    ["circle", "more than 5 redirects"],
    ["plain", "http://releases.example"],
    ["other", "which is not https"],
  ] as const;
  for (const [name, words] of reasons)
    expect(await rejection(downloadFile(`${host.base}/${name}`, options))).toMatchObject({
      code: "FV-UPD-001",
      because: expect.stringContaining(words),
    });
});

test("a download over https is led to https alone, one from this computer to this computer as well", () => {
  const loopback = ["http://127.0.0.1:8000/x", "http://localhost/x", "http://[::1]/x"];
  for (const next of loopback) {
    expect(may("https://releases.example/x", next)).toBe(false);
    expect(may("http://127.0.0.1:9000/x", next)).toBe(true);
  }
  for (const start of ["https://releases.example/x", "http://127.0.0.1:9000/x"]) {
    expect(may(start, "https://elsewhere.example/x")).toBe(true);
    expect(may(start, "http://elsewhere.example/x")).toBe(false);
  }
});

test("downloadFile says what the host answered, and that it did not answer in time", async () => {
  host.files.set("/broken", () => new Response("", { status: 500 }));
  host.files.set("/slow", () => new Response(new ReadableStream({})));
  const broken = await rejection(downloadFile(`${host.base}/broken`, options));
  expect(broken).toMatchObject({ because: expect.stringContaining("the answer was 500") });
  const slow = await rejection(downloadFile(`${host.base}/slow`, { ...options, timeoutMs: 100 }));
  expect(slow).toMatchObject({ because: expect.stringContaining("not done after 0.1 s") });
});

test("releaseSource takes https addresses, and http on this computer", () => {
  expect(from("https://releases.example/fly-vault/")).toBe("https://releases.example/fly-vault");
  expect(from("http://127.0.0.1:8000")).toBe("http://127.0.0.1:8000");
  expect(from("")).toStartWith("https://");
  for (const wrong of ["http://releases.example", "ftp://x", "nonsense"])
    expect(() => from(wrong)).toThrow("https:");
  expect(() => releaseSource({ FLY_VAULT_RELEASE_KEY: "ssh-rsa AAAA" })).toThrow("ssh-ed25519");
});

async function* endless() {
  for (;;) yield Buffer.alloc(300);
}
