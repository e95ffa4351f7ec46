import { closeSync } from "node:fs";
import { BlockingFrames } from "../../src/roles/init/files/blocking-frames.ts";
import { ClientStream } from "../../src/roles/init/client-stream.ts";
import { serveCopy } from "../../src/roles/init/files/files-server.ts";
import { openPipe } from "../../src/system/process-pipe.ts";

const none = openPipe();
closeSync(none.writeFd);
serveCopy(new BlockingFrames(new ClientStream({ earlyFd: none.readFd, inFd: 0, outFd: 1 })), {
  home: process.argv[2] ?? "/",
  user: "root",
});
