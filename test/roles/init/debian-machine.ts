import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Mount, run } from "../init-provision/volume-fixture.ts";
import { TestMachine } from "./machine.ts";
import { provision } from "./provision-client.ts";

/**
 * A machine with a Debian of `make rootfs`, provisioned through init. As on Fly it has a volume and a
 * network of its own: an image's shutdown scripts try to make the one read-only and to take the other
 * down, and here that must not be the computer's.
 */
export class DebianMachine {
  readonly machine: TestMachine;
  readonly #volume: Mount;

  private constructor(env: Readonly<Record<string, string>>) {
    this.#volume = Mount.ext4(1024);
    this.machine = new TestMachine({
      rootfs: null,
      starter: ["unshare", "--net", "sh", "-c", network],
      env,
    });
    run("mount", "--bind", this.#volume.dir, this.machine.dataDir);
  }

  static async boot(
    image: "debian-systemd" | "debian-openrc" | Uint8Array,
    env: Readonly<Record<string, string>>,
  ): Promise<DebianMachine> {
    const debian = new DebianMachine(env);
    try {
      await debian.machine.start();
      await provision(debian.machine, typeof image === "string" ? archiveOf(image) : image);
    } catch (error) {
      await debian[Symbol.asyncDispose]();
      throw error;
    }
    return debian;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.stop();
    run("umount", this.machine.dataDir);
    await this.machine[Symbol.asyncDispose]();
    this.#volume[Symbol.dispose]();
  }

  /** What the shutdown left of the volume. */
  get volumeFlags(): string {
    return run("findmnt", "-n", "-o", "OPTIONS", this.#volume.dir).split(",")[0] ?? "";
  }
}

/** An interface beside loopback, to see whether it stays up. */
const network =
  'ip link set lo up && ip link add fv0 type veth peer name fv1 && ip address add 192.0.2.1/24 dev fv0 && ip link set fv0 up && exec "$0" "$@"';

function archiveOf(image: string): Uint8Array {
  const path = resolve(import.meta.dir, "../../../.cache", `${image}.tar.zst`);
  if (!existsSync(path)) throw new Error(`${path} is not there: make rootfs`);
  return readFileSync(path);
}
