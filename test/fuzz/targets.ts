import type { FuzzTarget } from "../support/fuzz.ts";
import * as admission from "./admission-target.ts";
import * as archive from "./archive-target.ts";
import * as compression from "./compression-target.ts";
import * as evidence from "./evidence-target.ts";
import * as frame from "./frame-target.ts";
import * as guest from "./guest-target.ts";
import * as jwt from "./jwt-target.ts";
import * as login from "./login-target.ts";
import * as message from "./message-target.ts";
import * as proxy from "./proxy-target.ts";
import * as quicHeader from "./quic-header-target.ts";
import * as quic from "./quic-target.ts";
import * as recipe from "./recipe-target.ts";
import * as tar from "./tar-target.ts";

/** A target, and the file whose export it is. */
export interface FiledTarget {
  readonly file: string;
  readonly target: FuzzTarget;
}

/** Every decoder that bytes of strangers, clients, archives, guests or Fly reach (docs/testing.md). */
export const targets: readonly FiledTarget[] = [
  ...filed("quic-header", quicHeader),
  ...filed("admission", admission),
  ...filed("proxy", proxy),
  ...filed("quic", quic),
  ...filed("login", login),
  ...filed("frame", frame),
  ...filed("message", message),
  ...filed("evidence", evidence),
  ...filed("jwt", jwt),
  ...filed("tar", tar),
  ...filed("archive", archive),
  ...filed("compression", compression),
  ...filed("recipe", recipe),
  ...filed("guest", guest),
];

function filed(stem: string, exported: Readonly<Record<string, FuzzTarget>>): FiledTarget[] {
  return Object.values(exported).map((target) => ({ file: `${stem}-target.ts`, target }));
}
