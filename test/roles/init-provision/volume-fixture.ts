import { existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { RemoteError } from "../../../src/protocol/errors.ts";
import type { Progress } from "../../../src/protocol/message.ts";
import { type DataLayout, dataLayout } from "../../../src/roles/init/provision/data-layout.ts";
import type { DataVolume } from "../../../src/roles/init/provision/data-volume.ts";
import { linuxVolumeFs } from "../../../src/roles/init/provision/linux-volume-fs.ts";
import { unlockFile } from "../../../src/roles/init/provision/lock-file.ts";
import {
  type StagedRootfs,
  stageRootfs,
  type StageOptions,
} from "../../../src/roles/init/provision/provision.ts";
import { repairAtBoot } from "../../../src/roles/init/provision/repair.ts";
import { emptyTrash } from "../../../src/roles/init/provision/trash.ts";
import { archive, file } from "./tar-builder.ts";

export const unpackCommand = [
  process.execPath,
  fileURLToPath(new URL("unpack.child.ts", import.meta.url)),
];

/** A data folder as init has it. Gone with the block, whatever was done to it. */
export class Volume implements AsyncDisposable {
  readonly dir: string;
  readonly layout: DataLayout;
  readonly events: string[] = [];
  readonly #mount: Mount | undefined;

  constructor(mount?: Mount) {
    this.#mount = mount;
    const base = mount?.dir ?? mkdtempSync(join(tmpdir(), "fv-volume-"));
    this.dir = join(base, "data");
    mkdirSync(this.dir);
    this.layout = dataLayout(this.dir);
  }

  readonly log: StageOptions["log"] = (_level, event) => {
    this.events.push(event);
  };

  get data(): DataVolume {
    return { layout: this.layout, fs: linuxVolumeFs, log: this.log };
  }

  stage(bytes: Uint8Array | AsyncIterable<Uint8Array>, more: Partial<StageOptions> = {}) {
    return stageRootfs({
      dataDir: this.dir,
      archive: bytes instanceof Uint8Array ? chunked(bytes) : bytes,
      onProgress: () => undefined,
      signal: new AbortController().signal,
      log: this.log,
      unpackCommand,
      ...more,
    });
  }

  async provision(bytes: Uint8Array, more: Partial<StageOptions> = {}): Promise<StagedRootfs> {
    const staged = await this.stage(bytes, more);
    await staged.activate();
    return staged;
  }

  repair() {
    return repairAtBoot(this.dir, this.log);
  }

  /** As after a restart of the process. */
  restart() {
    unlockFile(this.layout.lock);
    return this.repair();
  }

  read(path: string): string | undefined {
    const full = join(this.dir, path);
    return existsSync(full) ? readFileSync(full, "utf8") : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await emptyTrash(this.data);
    unlockFile(this.layout.lock);
    const base = join(this.dir, "..");
    if (this.#mount === undefined) run("rm", "-rf", "--", base);
    else this.#mount[Symbol.dispose]();
  }
}

/** A small file system of its own: tmpfs with a limit, or ext4 on a loop device. */
export class Mount implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), "fv-mount-"));
  readonly #image: string | undefined;

  private constructor(image?: string) {
    this.#image = image;
  }

  /** Backing file of an ext4. */
  get image(): string {
    if (this.#image === undefined) throw new TypeError("A tmpfs has no backing file");
    return this.#image;
  }

  static tmpfs(options: string): Mount {
    const mount = new Mount();
    run("mount", "-t", "tmpfs", "-o", options, "fv-test", mount.dir);
    return mount;
  }

  static ext4(sizeMib: number): Mount {
    const image = join(mkdtempSync(join(tmpdir(), "fv-image-")), "disk");
    const mount = new Mount(image);
    run("truncate", "-s", `${sizeMib}M`, image);
    run("mkfs.ext4", "-q", "-F", image);
    run("mount", "-o", "loop", image, mount.dir);
    return mount;
  }

  [Symbol.dispose](): void {
    run("umount", this.dir);
    run("rm", "-rf", "--", this.dir);
    if (this.#image !== undefined) run("rm", "-rf", "--", join(this.#image, ".."));
  }
}

export function run(...command: readonly string[]): string {
  const env = { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const done = Bun.spawnSync([...command], { env });
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")}: ${done.stderr.toString()}`);
  return done.stdout.toString();
}

export async function* chunked(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  await Promise.resolve();
}

/** A tree that passes for a distribution, with `version` in it and a skeleton for /root and /home. */
export function rootfs(version: string, ...more: readonly Uint8Array[]): Uint8Array {
  return gzipSync(
    archive(
      file("bin/sh", "#!", { mode: 0o755 }),
      file("version", version),
      file("root/.profile", `profile of ${version}`),
      file("home/user/note", `note of ${version}`, { uid: 1000, gid: 1000, mode: 0o600 }),
      ...more,
    ),
  );
}

export async function refusal(work: Promise<unknown>): Promise<RemoteError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof RemoteError) return error;
    throw error;
  }
  throw new Error("It was not refused");
}

export type { Progress };
