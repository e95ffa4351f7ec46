import { readSync, writeSync } from "node:fs";
import { WireError } from "../../../protocol/errors.ts";
import { encodeFrame, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson } from "../../../protocol/message.ts";
import { makeBlocking } from "../../../system/process.ts";
import { complain, enterGuest } from "../guest-entry.ts";
import { SftpPackets } from "./sftp-packets.ts";
import { SftpServer } from "./sftp-server.ts";

/** `init sftp PLAN`: started by the keeper for one `sftp` stream, which is its stdin and stdout. */
export function serveSftp(plan: string): number {
  try {
    // Bun has changed that at its start.
    for (const fd of [0, 1]) makeBlocking(fd);
    const { account } = enterGuest(plan);
    process.umask(0o022);
    writeAll(encodeFrame(frameTypes.ok, encodeJson({})));
    answerAll(new SftpServer(account.home));
    return 0;
  } catch (error) {
    // Whoever asked is gone, or never spoke SFTP.
    if (error instanceof WireError || isGone(error)) return 0;
    complain(error);
    return 1;
  }
}

function answerAll(server: SftpServer): void {
  const packets = new SftpPackets();
  const buffer = Buffer.allocUnsafe(readBytes);
  for (;;) {
    const count = readSync(0, buffer);
    if (count === 0) return;
    packets.feed(buffer.subarray(0, count));
    for (let request = packets.next(); request !== undefined; request = packets.next())
      writeAll(server.answer(request));
  }
}

function writeAll(bytes: Uint8Array): void {
  for (let from = 0; from < bytes.length;) from += writeSync(1, bytes, from);
}

function isGone(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}

const readBytes = 128 * 1024;
