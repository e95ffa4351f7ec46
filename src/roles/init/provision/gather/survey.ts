import { readSync } from "node:fs";
import { ContentPieces } from "../../../../system/archive/content-pieces.ts";
import { closeFile } from "../../../../system/filesystem.ts";
import { folderNames } from "../../../../system/folder-listing.ts";
import { provisionLimits } from "../limits.ts";
import { isTroubleWithFile, openInTree } from "./old-tree.ts";
import type { PiecePlaces } from "./piece-places.ts";

export interface SurveyOptions {
  readonly now: () => number;
  readonly onProgress: (files: number) => void;
  readonly limits?: SurveyLimits;
}

export type SurveyLimits = Pick<
  typeof provisionLimits,
  "surveyMs" | "surveyNamesMax" | "surveyDepthMax" | "surveyPathBytesMax"
>;

/**
 * Reads the old tree once and tells `places` what lies where. A tree that is too much for the limits is
 * read in part: the less is found, the more is sent, and nothing else comes of it.
 */
export function surveyTree(rootFd: number, places: PiecePlaces, options: SurveyOptions): void {
  new Survey(places, options).folder(rootFd, Buffer.alloc(0), 0);
}

class Survey {
  readonly #places: PiecePlaces;
  readonly #options: SurveyOptions;
  readonly #limits: SurveyLimits;
  readonly #endMs: number;
  readonly #window = Buffer.allocUnsafe(windowBytes);
  readonly #pieces = new ContentPieces();
  #names = 0;
  #files = 0;
  #reportedMs: number;

  constructor(places: PiecePlaces, options: SurveyOptions) {
    this.#places = places;
    this.#options = options;
    this.#limits = options.limits ?? provisionLimits;
    this.#reportedMs = options.now();
    this.#endMs = this.#reportedMs + this.#limits.surveyMs;
  }

  folder(fd: number, path: Buffer, depth: number): void {
    // Not a list: a folder in a folder, and so on, might each have a million of them.
    for (const name of folderNames(fd)) {
      this.#names += 1;
      if (this.#isOver()) return;
      try {
        this.#entry(fd, name, path.length === 0 ? name : Buffer.concat([path, slash, name]), depth);
      } catch (error) {
        if (!isTroubleWithFile(error)) throw error;
      }
    }
  }

  #entry(folderFd: number, name: Buffer, path: Buffer, depth: number): void {
    const opened = openInTree(folderFd, name);
    if (opened === undefined) return;
    try {
      if (opened.kind === "file") this.#file(opened.fd, path);
      else if (depth < this.#limits.surveyDepthMax) this.folder(opened.fd, path, depth + 1);
    } finally {
      closeFile(opened.fd);
    }
  }

  #file(fd: number, path: Buffer): void {
    this.#files += 1;
    if (path.length > pathBytesMax) return;
    let [offset, pieceAt] = [0, 0];
    const found = (piece: { readonly length: number; readonly id: Uint8Array }): void => {
      this.#places.found(piece, path, pieceAt);
      pieceAt += piece.length;
    };
    try {
      while (!this.#isOver()) {
        const read = readSync(fd, this.#window, 0, windowBytes, offset);
        offset += read;
        for (const piece of this.#pieces.push(this.#window.subarray(0, read))) found(piece);
        if (read < windowBytes) break;
      }
    } finally {
      const last = this.#pieces.end();
      if (last !== undefined) found(last);
    }
  }

  #isOver(): boolean {
    const now = this.#options.now();
    if (now - this.#reportedMs >= provisionLimits.progressMs) {
      this.#reportedMs = now;
      this.#options.onProgress(this.#files);
    }
    const isTooMuch = this.#names > this.#limits.surveyNamesMax || now > this.#endMs;
    return isTooMuch || this.#places.isComplete;
  }
}

const slash = Buffer.from("/");
const windowBytes = 1024 * 1024;
/** With its terminating zero no longer path can be opened again. */
const pathBytesMax = 4095;
