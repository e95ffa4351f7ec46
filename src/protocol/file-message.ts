/** What the two sides of a copy say to each other; file-frame.ts has the bytes. */

export interface FileEntry {
  readonly id: number;
  readonly parent: number;
  readonly kind: FileKind;
  readonly mode: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly size: number;
  /** Of small files: whoever has one of that digest already needs no content. */
  readonly digest: Uint8Array | undefined;
  readonly name: Uint8Array;
  /** Of links alone. */
  readonly target: Uint8Array;
}

export const fileKinds = ["folder", "file", "link"] as const;
export type FileKind = (typeof fileKinds)[number];

/** Made new or anew, the same as before, left as it was because that was wished, or its folder could not be made. */
export const fileOutcomes = ["written", "same", "kept", "skipped"] as const;
export type FileOutcome = (typeof fileOutcomes)[number];

/** What may be wrong with one name; an unknown one of a newer peer reads as "io". */
export const fileTroubles = [
  "missing",
  "denied",
  "is-folder",
  "not-folder",
  "in-the-way",
  "special",
  "changed",
  "corrupt",
  "full",
  "busy",
  "refused",
  "read-only",
  "too-many",
  "io",
] as const;
export type FileTrouble = (typeof fileTroubles)[number];

export interface FileFailure {
  /** 0 is the copy as a whole. */
  readonly id: number;
  readonly code: FileTrouble;
  /** With the path. */
  readonly message: string;
}

export interface FileChunk {
  readonly length: number;
  /** The first 16 bytes of its SHA-256. */
  readonly digest: Uint8Array;
}

interface FileStretch {
  readonly id: number;
  readonly offset: number;
  readonly length: number;
}

export type FileMessage =
  | { readonly type: "total"; readonly files: number; readonly bytes: number }
  | { readonly type: "entry"; readonly entry: FileEntry }
  | { readonly type: "leave"; readonly id: number }
  | { readonly type: "all" }
  | { readonly type: "start"; readonly id: number; readonly offset: number }
  | {
      readonly type: "content";
      readonly id: number;
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly type: "whole";
      readonly id: number;
      readonly crc32: number;
      readonly bytes: Uint8Array;
    }
  | ({ readonly type: "hole" } & FileStretch)
  | ({ readonly type: "same"; readonly baseOffset: number } & FileStretch)
  | {
      readonly type: "end";
      readonly id: number;
      readonly size: number;
      readonly crc32: number;
      /** Of the whole file; undefined where the job said that none is needed, and the wish did not need one. */
      readonly sha256: Uint8Array | undefined;
    }
  | ({ readonly type: "failed" } & FileFailure)
  | { readonly type: "chunks"; readonly id: number; readonly chunks: readonly FileChunk[] }
  | {
      readonly type: "want";
      readonly id: number;
      readonly averageBits: number;
      readonly offset: number;
      /** Undefined at offset 0. */
      readonly sha256: Uint8Array | undefined;
    }
  | { readonly type: "done"; readonly id: number; readonly outcome: FileOutcome }
  | { readonly type: "finished" };

export type FileContent = Extract<FileMessage, { type: "content" | "whole" }>;

/** In place of average bits: the sink has a file of that size and digest, and asks again if that is not the one. */
export const onlyIfSame = 255;
