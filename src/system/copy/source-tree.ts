import type { FileLook } from "../file-look.ts";

/**
 * What was named, or what is below a folder that was. Paths are whole, with that of the folder in
 * front. Throws what the system says.
 */
export interface SourceTree {
  look(path: Buffer): FileLook;
  names(path: Buffer): Buffer[];
  target(path: Buffer): Buffer;
  /** For reading; never waits for the other end of a pipe. */
  open(path: Buffer): number;
  /** Whoever comes back to it later holds it until then. */
  hold(): void;
  release(): void;
}
