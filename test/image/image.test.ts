import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { localBase } from "../../build/image/base-image.ts";
import { buildah, withFiles } from "../../build/image/buildah.ts";
import { buildImage } from "../../build/image/built-image.ts";
import { installedPackages } from "../../build/image/dpkg-status.ts";
import packageJson from "../../package.json" with { type: "json" };

/** The images as the Containerfile makes them, of the compiled program and Debian's packages. */
const origin = {
  version: packageJson.version,
  revision: "0123abcd",
  source: "https://example.com/fly-vault",
  createdMs: Date.UTC(2026, 0, 2),
};

// The first time on a computer, packages are fetched; after that all but the program is in the cache.
setDefaultTimeout(300_000);

let base: string;
let init: string;
let proxy: string;

beforeAll(async () => {
  base = await localBase();
  init = await buildImage("init", base, origin);
  proxy = await buildImage("proxy", base, origin);
});

test.each(["init", "proxy"] as const)("%s says what it is, and starts no shell", async (target) => {
  const image = target === "init" ? init : proxy;
  const { OCIv1 } = JSON.parse(await buildah("inspect", "--type=image", image)) as {
    OCIv1: {
      created: string;
      config: { Entrypoint: string[]; Cmd?: string[]; Labels: Record<string, string> };
    };
  };
  const { created, config } = OCIv1;
  const { Entrypoint, Cmd, Labels } = config;
  expect(Entrypoint).toEqual([target === "init" ? "/init" : "/usr/local/bin/vault-proxy"]);
  expect(Cmd ?? []).toEqual([]);
  expect(Labels).toMatchObject({
    "org.opencontainers.image.version": packageJson.version,
    "org.opencontainers.image.revision": "0123abcd",
    "org.opencontainers.image.source": "https://example.com/fly-vault",
    "org.opencontainers.image.title": `fly-vault ${target}`,
    "org.opencontainers.image.licenses": "MIT",
  });
  expect(new Date(created).getTime()).toBe(origin.createdMs);
});

test("init's has the four packages, what they need, and nothing else of Debian's", async () => {
  const before = await packageNames(base);
  const added = (await packageNames(init)).filter((name) => !before.includes(name));
  expect(added).toEqual(
    [
      ["ca-certificates", "openssl", "libssl3"],
      ["catatonit"],
      ["nftables", "libnftables1", "libnftnl11", "libmnl0", "libxtables12", "libjansson4"],
      ["libedit2", "libbsd0"],
    ]
      .flat()
      .toSorted(),
  );
  expect(await packageNames(proxy)).toEqual(before);
});

test("nothing is left of installing", async () => {
  await withFiles(init, async (files) => {
    for (const folder of ["var/lib/apt/lists", "var/cache/apt", "var/log", "tmp"])
      expect([folder, readdirSync(join(files, folder))]).toEqual([folder, []]);
    // One program under two names.
    expect(statSync(join(files, "init")).ino).toBe(statSync(join(files, "usr/local/bin/init")).ino);
  });
});

test("init runs in it as a Fly Machine would run it, with no shell in the whole image", async () => {
  await withFiles(init, async (files) => {
    for (const shell of ["sh", "dash", "bash"]) await rm(join(files, "usr/bin", shell));
    const log = await firstLines(files, '"event":"ready"');
    expect(log).toContain('"event":"firewall-on"');
    expect(log).not.toContain('"level":"error"');
  });
});

test("the proxy runs in its own", async () => {
  const printed = await withFiles(proxy, async (files) => {
    const child = startInside(files, "/usr/local/bin/vault-proxy", "--version");
    return child.stdout.text();
  });
  expect(printed).toBe(`vault-proxy ${packageJson.version}\n`);
});

async function packageNames(image: string): Promise<string[]> {
  return withFiles(image, async (files) =>
    installedPackages(await Bun.file(join(files, "var/lib/dpkg/status")).text()).map(
      ({ name }) => name,
    ),
  );
}

/** What /init logs up to this. */
async function firstLines(files: string, end: string): Promise<string> {
  const child = startInside(files, "/init");
  let text = "";
  for await (const chunk of child.stderr) {
    text += new TextDecoder().decode(chunk);
    if (text.includes(end)) break;
  }
  child.kill("SIGKILL");
  await child.exited;
  return text;
}

/** In namespaces of its own that end with it, with what Fly has put there before an entrypoint starts. */
function startInside(files: string, ...argv: readonly string[]) {
  const fly = [
    'mount --make-rprivate / && cd "$0" && mkdir -p .fly data && touch .fly/api',
    'mount -t proc proc proc && ip link set lo up && exec chroot . "$@"',
  ].join(" && ");
  const namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"];
  return Bun.spawn(["unshare", ...namespaces, "sh", "-c", fly, files, ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      FLY_APP_NAME: "vaults",
      FLY_MACHINE_ID: "148e21ea7e46e8",
      ACCESS_TOKEN: "token-of-an-image",
    },
  });
}
