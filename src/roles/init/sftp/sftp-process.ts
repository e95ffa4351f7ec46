import { WireError } from "../../../protocol/errors.ts";
import { encodeFrame, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson } from "../../../protocol/message.ts";
import type { ClientStream } from "../client-stream.ts";
import { enterGuest, serveInGuest } from "../guest-entry.ts";
import { SftpPackets } from "./sftp-packets.ts";
import { SftpServer } from "./sftp-server.ts";

/** `init sftp PLAN`: started by the keeper for one `sftp` stream, which it is lent. */
export function serveSftp(plan: string): number {
  return serveInGuest((stream) => {
    const { account } = enterGuest(plan);
    process.umask(0o022);
    stream.write(encodeFrame(frameTypes.ok, encodeJson({})));
    try {
      answerAll(stream, new SftpServer(account.home));
    } catch (error) {
      // It never spoke SFTP.
      if (!(error instanceof WireError)) throw error;
    }
  });
}

function answerAll(stream: ClientStream, server: SftpServer): void {
  const packets = new SftpPackets();
  const buffer = Buffer.allocUnsafe(readBytes);
  for (;;) {
    const count = stream.read(buffer);
    if (count === 0) return;
    packets.feed(buffer.subarray(0, count));
    for (let request = packets.next(); request !== undefined; request = packets.next())
      stream.write(server.answer(request));
  }
}

const readBytes = 128 * 1024;
