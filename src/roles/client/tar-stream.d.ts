/** The part of tar-stream 3 that packs; the package comes without types. */
declare module "tar-stream" {
  interface Headers {
    readonly name: string;
    readonly type: "file" | "directory" | "symlink" | "link" | "fifo";
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly mtime: Date;
    readonly size?: number;
    readonly linkname?: string;
  }
  interface Entry {
    write(bytes: Uint8Array): boolean;
    end(): void;
    once(event: "drain", listener: () => void): void;
  }
  interface Pack extends AsyncIterable<Uint8Array> {
    entry(headers: Headers, done: (error?: Error | null) => void): Entry;
    /** Whole; needs no size. */
    entry(headers: Headers, content: Uint8Array): void;
    finalize(): void;
    destroy(error?: Error): void;
  }
  export function pack(): Pack;
}
