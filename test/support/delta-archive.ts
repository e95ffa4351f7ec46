import type { ArchiveRecipe } from "../../src/protocol/archive-recipe.ts";
import { PieceSet } from "../../src/protocol/piece-set.ts";
import type { ProvisionRequest } from "../../src/protocol/message.ts";
import { describeArchive } from "../../src/roles/client/provision/archive-description.ts";
import { DeltaUpload } from "../../src/roles/client/provision/delta-upload.ts";
import type { RootfsUpload } from "../../src/roles/client/provision/rootfs-upload.ts";

/** An archive as a client sends it to a machine that has some of it. */
export interface DeltaArchive {
  readonly source: Extract<ProvisionRequest["source"], { readonly kind: "delta" }>;
  readonly recipe: ArchiveRecipe;
  readonly upload: DeltaUpload;
}

export async function deltaOf(archive: Uint8Array, sliceBytes = 65_536): Promise<DeltaArchive> {
  const whole = inMemory(archive, sliceBytes);
  const described = await describeArchive(whole.bytes(0, lacksNothing));
  if (described === undefined) throw new Error("An archive that is sent as a whole");
  const { sha256, tarSha256, recipe } = described;
  const source = {
    kind: "delta",
    archive_sha256: sha256,
    tar_sha256: tarSha256,
    tar_bytes: recipe.tarBytes,
    recipe_bytes: recipe.bytes.length,
  } as const;
  return { source, recipe, upload: new DeltaUpload(whole, recipe, Infinity) };
}

/** What is uploaded to one who lacks that. */
export async function uploadOf({ upload }: DeltaArchive, lacking: PieceSet): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const bytes of upload.bytes(0, Promise.resolve(lacking.bytes))) chunks.push(bytes);
  return Buffer.concat(chunks);
}

export function allOf({ pieces }: ArchiveRecipe): PieceSet {
  const all = PieceSet.none(pieces);
  for (let index = 0; index < pieces; index++) all.add(index);
  return all;
}

function inMemory(archive: Uint8Array, sliceBytes: number): RootfsUpload {
  return {
    async *bytes(start) {
      for (let at = start; at < archive.length; at += sliceBytes)
        yield archive.subarray(at, at + sliceBytes);
    },
    progress: (offset) => ({ bytes: offset, totalBytes: archive.length }),
  };
}

const lacksNothing = Promise.resolve(new Uint8Array(0));
