import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { PieceSet } from "../../../../src/protocol/piece-set.ts";
import { gather, type GatherOptions } from "../../../../src/roles/init/provision/gather/gather.ts";
import { allOf, type DeltaArchive, deltaOf, uploadOf } from "../../../support/delta-archive.ts";
import { archive, dir, file } from "../tar-builder.ts";

/** An old tree on disk, and `gather` over it as its process runs it. */
export class GatherStage implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "fv-gather-"));
  readonly tree = join(this.#folder, "tree");

  constructor(files: Files = {}) {
    mkdirSync(this.tree);
    for (const [path, content] of Object.entries(files)) this.write(path, content);
  }

  write(path: string, content: Uint8Array): void {
    mkdirSync(dirname(join(this.tree, path)), { recursive: true });
    writeFileSync(join(this.tree, path), content);
  }

  /** What this tree lacks of it. */
  lacking(delta: DeltaArchive, more: Partial<GatherOptions> = {}): PieceSet {
    let lacking = allOf(delta.recipe);
    const onLacking = (found: PieceSet): never => {
      lacking = found;
      throw new Enough();
    };
    try {
      this.gather(delta.recipe.bytes, delta, { onLacking, ...more });
    } catch (error) {
      if (!(error instanceof Enough)) throw error;
    }
    return lacking;
  }

  /** The tar stream that comes of an upload. */
  gather(
    upload: Uint8Array,
    { source }: Pick<DeltaArchive, "source">,
    more: Partial<GatherOptions> = {},
  ): Uint8Array {
    const [sent, made] = [join(this.#folder, "sent"), join(this.#folder, "made")];
    writeFileSync(sent, upload);
    const [rootFd, inFd, outFd] = [
      openSync(this.tree, "r"),
      openSync(sent, "r"),
      openSync(made, "w"),
    ];
    try {
      gather({
        rootFd,
        recipeBytes: source.recipe_bytes,
        inFd,
        outFd,
        now: () => 0,
        onProgress: () => undefined,
        onLacking: () => undefined,
        ...more,
      });
    } finally {
      for (const fd of [rootFd, inFd, outFd]) closeSync(fd);
    }
    return readFileSync(made);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

export type Files = Readonly<Record<string, Uint8Array>>;

/** These files in an archive, with what else a root filesystem needs. */
export async function deltaOfFiles(files: Files): Promise<DeltaArchive & { tar: Uint8Array }> {
  const tar = archive(
    dir("bin"),
    file("bin/sh", "#!", { mode: 0o755 }),
    ...Object.entries(files).map(([path, content]) => file(path, content)),
  );
  return { ...(await deltaOf(tar)), tar };
}

/** All of it, for a tree that has nothing. */
export async function wholeUpload(delta: DeltaArchive): Promise<Uint8Array> {
  return uploadOf(delta, allOf(delta.recipe));
}

class Enough extends Error {}
