import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SystemError } from "../../src/system/libc.ts";
import { TarReader } from "../../src/system/archive/tar/reader.ts";
import { TarRefusal } from "../../src/system/archive/tar/refusal.ts";
import { unpackInto } from "../roles/init-provision/scratch.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { anyArchive, mutateTar } from "../support/tar-generator.ts";

/** Whole archives onto a disk: what is accepted is all there, and nothing outside is ever touched. */
export const archives: FuzzTarget = {
  name: "whole archives",
  runs: 1000,
  planned: 20_000,
  corpus: (random) => [anyArchive(random)],
  mutate: (random) => {
    const bytes = anyArchive(random);
    return random() < 0.2 ? mutateTar(random, [bytes]) : bytes;
  },
  check: (bytes) => {
    place ??= new Place();
    const root = place.emptyRoot();
    try {
      unpackInto(root, bytes, { slice: 64 * 1024 });
    } catch (error) {
      // A name that the file system does not take is one of its errors, as it stands.
      if (error instanceof TarRefusal || error instanceof SystemError) return false;
      throw error;
    } finally {
      place.checkOutside();
    }
    for (const path of pathsIn(bytes)) lstatSync(Buffer.from(`${root}/${path}`, "latin1"));
    return true;
  },
};

/** What must be there afterwards; devices are left out, and said to be. */
function pathsIn(bytes: Uint8Array): Set<string> {
  const paths = new Set<string>();
  for (const event of new TarReader().push(bytes))
    if (event.kind === "entry" && event.entry.kind !== "device") paths.add(event.entry.path);
  return paths;
}

let place: Place | undefined;

/** A root to unpack into, and beside it what nobody may touch. */
class Place {
  /** In memory where there is such a place: a disk is several times slower at this. */
  readonly #folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "fv-fuzz-"));
  readonly #root = join(this.#folder, "root");
  readonly #secret = join(this.#folder, "outside", "secret");
  readonly #before: string;

  constructor() {
    mkdirSync(join(this.#folder, "outside"));
    writeFileSync(this.#secret, "untouched", { mode: 0o600 });
    mkdirSync(this.#root);
    this.#before = this.#outside();
    process.once("exit", () => rmSync(this.#folder, { recursive: true, force: true }));
  }

  emptyRoot(): string {
    rmSync(this.#root, { recursive: true, force: true });
    mkdirSync(this.#root, { mode: 0o700 });
    return this.#root;
  }

  checkOutside(): void {
    const now = this.#outside();
    if (now !== this.#before) throw new Error(`outside: ${now}, before: ${this.#before}`);
  }

  #outside(): string {
    const names = [this.#folder, join(this.#folder, "outside")].map((each) => readdirSync(each));
    const { mode, uid, gid, nlink, mtimeMs } = lstatSync(this.#secret);
    const status = [mode, uid, gid, nlink, mtimeMs].join(" ");
    return `${names.flat().join(" ")}: ${readFileSync(this.#secret, "latin1")} ${status}`;
  }
}
