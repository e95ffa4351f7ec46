import { openLibc } from "./libc.ts";

/**
 * Keeps memory that native code has freed, up to 32 MiB, for whoever asks next. glibc gives the top of its heap
 * back as soon as 128 KiB of it are free, and the kernel clears each page that is asked for a moment later: with QUIC
 * at full speed that was a page fault for each 10 KB, and a tenth of the processor time. Where there is no glibc,
 * nothing.
 */
export function keepNativeHeap(): void {
  libc()?.mallopt(trimThreshold, keptBytesMax);
  libc()?.mallopt(mmapThreshold, keptBytesMax);
}

/** Gives it back, for whoever rests now. */
export function trimNativeHeap(): void {
  libc()?.malloc_trim(0n);
}

const keptBytesMax = 32 * 1024 * 1024;
/** M_TRIM_THRESHOLD and M_MMAP_THRESHOLD; the largest that glibc takes for the latter is the same 32 MiB. */
const trimThreshold = -1;
const mmapThreshold = -3;

let opened: ReturnType<typeof openHeapCalls> | null | undefined;

function libc(): ReturnType<typeof openHeapCalls> | null {
  if (opened === undefined) {
    try {
      opened = process.platform === "linux" ? openHeapCalls() : null;
    } catch {
      opened = null;
    }
  }
  return opened;
}

function openHeapCalls() {
  return openLibc({
    mallopt: { args: ["i32", "i32"], returns: "i32" },
    malloc_trim: { args: ["u64"], returns: "i32" },
  });
}
