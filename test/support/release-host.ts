import { createHash } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "tar-stream";
import { signatureNamespace } from "../../src/roles/client/update/ssh-signature.ts";

/** A host of releases on this computer, with addresses as GitHub has them, and a key that signs. */
export class ReleaseHost {
  readonly folder: string;
  /** The line of the public key. */
  readonly key: string;
  /** By path below the base. A function is asked each time. */
  readonly files = new Map<string, Uint8Array | string | (() => Response)>();
  readonly asked: string[] = [];
  /** What `latest` leads to. */
  newest: string | undefined;
  readonly #server: ReturnType<typeof Bun.serve>;

  private constructor(folder: string, key: string) {
    this.folder = folder;
    this.key = key;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => this.#answer(new URL(url).pathname),
    });
  }

  static async open(): Promise<ReleaseHost> {
    const folder = await mkdtemp(join(tmpdir(), "fv-releases-"));
    return new ReleaseHost(folder, await makeKey(join(folder, "key")));
  }

  get base(): string {
    return `http://127.0.0.1:${this.#server.port}/releases`;
  }

  get env(): Record<string, string> {
    return { FLY_VAULT_RELEASES: this.base, FLY_VAULT_RELEASE_KEY: this.key };
  }

  /** A release whose program is these bytes, for each platform the same; signed by the host's key. */
  async publish(
    version: string,
    program: string | Uint8Array,
    platforms: readonly string[] = ["linux-x64", "darwin-arm64"],
  ): Promise<void> {
    const lines: string[] = [];
    for (const platform of platforms) {
      const stem = `fly-vault-${version}-${platform}`;
      const archive = await programArchive(stem, program);
      this.files.set(`/download/v${version}/${stem}.tar.gz`, archive);
      lines.push(`${createHash("sha256").update(archive).digest("hex")}  ${stem}.tar.gz\n`);
    }
    const sums = lines.join("");
    this.files.set(`/download/v${version}/SHA256SUMS`, sums);
    this.files.set(
      `/download/v${version}/SHA256SUMS.sig`,
      await sign(join(this.folder, "key"), sums),
    );
    this.newest = version;
  }

  /** What `make release` made. */
  async publishFolder(version: string, folder: string): Promise<void> {
    for (const name of await readdir(folder))
      this.files.set(`/download/v${version}/${name}`, await readFile(join(folder, name)));
    this.newest = version;
  }

  async close(): Promise<void> {
    await this.#server.stop(true);
    await rm(this.folder, { recursive: true, force: true });
  }

  #answer(path: string): Response {
    const name = path.replace(/^\/releases/, "");
    this.asked.push(name);
    const latest = /^\/latest\/download\/([\w.]+)$/.exec(name);
    if (latest !== null && this.newest !== undefined)
      return Response.redirect(`/releases/download/v${this.newest}/${latest[1]}`, 302);
    const file = this.files.get(name);
    if (file === undefined) return new Response("no such file", { status: 404 });
    return typeof file === "function" ? file() : new Response(file);
  }
}

/** Makes an ed25519 key without a password, as people do; gives the line of its public half. */
export async function makeKey(path: string): Promise<string> {
  await keygen(["-q", "-t", "ed25519", "-N", "", "-C", "releases", "-f", path]);
  return (await readFile(`${path}.pub`, "utf8")).trim();
}

/** By OpenSSH itself. */
export async function sign(
  key: string,
  text: string,
  namespace: string = signatureNamespace,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fv-sign-"));
  try {
    const path = join(folder, "text");
    await writeFile(path, text);
    await chmod(key, 0o600);
    await keygen(["-q", "-Y", "sign", "-f", key, "-n", namespace, path]);
    return await readFile(`${path}.sig`, "utf8");
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function keygen(words: readonly string[]): Promise<void> {
  const child = Bun.spawn(["ssh-keygen", ...words], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`ssh-keygen ${words.join(" ")}: ${said}`);
}

/** As a release has it: one folder, the program in it. */
export async function programArchive(
  stem: string,
  program: string | Uint8Array,
): Promise<Uint8Array> {
  const archive = pack();
  const times = { mtime: new Date(0), uid: 0, gid: 0 };
  archive.entry(
    { name: `${stem}/LICENSE`, type: "file", mode: 0o644, ...times },
    Buffer.from("MIT"),
  );
  archive.entry(
    { name: `${stem}/fly-vault`, type: "file", mode: 0o755, ...times },
    Buffer.from(program),
  );
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Bun.gzipSync(Buffer.concat(chunks));
}
