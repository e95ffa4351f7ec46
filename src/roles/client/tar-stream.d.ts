/** The part of tar-stream 3 that we use; the package comes without types. */
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
    readonly uname?: string;
    readonly gname?: string;
  }
  interface Entry {
    write(bytes: Uint8Array): boolean;
    end(): void;
    once(event: "drain", listener: () => void): void;
    on(event: "error", listener: (error: Error) => void): void;
  }
  interface Pack extends AsyncIterable<Uint8Array> {
    entry(headers: Headers, done: (error?: Error | null) => void): Entry;
    /** Whole; needs no size. */
    entry(headers: Headers, content: Uint8Array): void;
    finalize(): void;
    destroy(error?: Error): void;
  }
  interface Extracted extends AsyncIterable<Uint8Array> {
    readonly header: Headers;
    on(event: "error", listener: (error: Error) => void): void;
  }
  interface Extract extends NodeJS.WritableStream, AsyncIterable<Extracted> {
    destroy(error?: Error): void;
  }
  export function pack(): Pack;
  export function extract(): Extract;
}
