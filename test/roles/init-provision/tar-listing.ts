import type { TarEntry } from "../../../src/system/archive/tar/entry.ts";
import { TarReader } from "../../../src/system/archive/tar/reader.ts";
import { TarRefusal } from "../../../src/system/archive/tar/refusal.ts";

/** The same archive as two readers see it. */

/** What `tar -tv` says of an entry. */
interface Line {
  readonly mode: string;
  readonly owner: string;
  /** Of a device its numbers. */
  readonly size: string;
  readonly name: string;
  readonly target: string | undefined;
}

/** Undefined where the archive is refused. */
export function listedByUs(bytes: Uint8Array) {
  const reader = new TarReader();
  const entries: Line[] = [];
  const content: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for (const event of reader.push(bytes)) {
      if (event.kind === "entry") {
        entries.push(lineOf(event.entry));
        if (event.entry.kind === "file") sizeBytes += event.entry.sizeBytes;
      } else if (event.kind === "data") content.push(event.bytes);
      else if (event.kind === "hole" && sizeBytes < 2 ** 20) {
        content.push(new Uint8Array(event.sizeBytes));
      }
    }
    reader.finish();
  } catch (error) {
    if (error instanceof TarRefusal) return undefined;
    throw error;
  }
  return { entries, sizeBytes, content: Buffer.concat(content) };
}

function lineOf(entry: TarEntry): Line {
  return {
    mode: typeLetter(entry) + permissions(entry.mode),
    owner: `${entry.uid}/${entry.gid}`,
    size: sizeOf(entry),
    name: entry.path,
    target: entry.kind === "symlink" || entry.kind === "hardlink" ? entry.target : undefined,
  };
}

function typeLetter(entry: TarEntry): string {
  if (entry.kind === "device") return entry.device === "block" ? "b" : "c";
  return { file: "-", directory: "d", symlink: "l", hardlink: "h", fifo: "p" }[entry.kind];
}

function permissions(mode: number): string {
  return [6, 3, 0]
    .map((shift, index) => {
      const special = (mode & (0o4000 >> index)) !== 0;
      const letter = index === 2 ? "t" : "s";
      const execute = (mode & (1 << shift)) !== 0;
      const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
      return `${mode & (4 << shift) ? "r" : "-"}${mode & (2 << shift) ? "w" : "-"}${last}`;
    })
    .join("");
}

function sizeOf(entry: TarEntry): string {
  if (entry.kind === "device") return `${entry.major},${entry.minor}`;
  return entry.kind === "file" ? String(entry.sizeBytes) : "0";
}

const env = { PATH: process.env["PATH"] ?? "", LC_ALL: "C", TZ: "UTC" };

function gnuTar(path: string, ...options: readonly string[]): Buffer {
  const done = Bun.spawnSync(["tar", "--numeric-owner", ...options, "-f", path], { env });
  if (done.exitCode !== 0 && !onlyTimes(done.stderr.toString("latin1"))) {
    throw new Error(`GNU tar: ${done.stderr.toString()}`);
  }
  return done.stdout;
}

/** Broken times are brought into range here, and an error there. */
function onlyTimes(complaints: string): boolean {
  const harmless = /time_t|invalid mtime=|Ignoring unknown|Removing leading|Exiting with failure/;
  return complaints.split("\n").every((line) => line === "" || harmless.test(line));
}

/** Throws where GNU tar is not content with the archive. */
export function listedByGnu(path: string): Line[] {
  const text = gnuTar(path, "--quoting-style=c", "-tv").toString("latin1");
  return text.split("\n").slice(0, -1).map(parseLine);
}

const quoted = String.raw`"((?:[^"\\]|\\.)*)"`;
const linePattern = new RegExp(
  String.raw`^(\S{10}) (\S+) +(\S+) [^"]*${quoted}(?: (?:->|link to) ${quoted})?$`,
);

function parseLine(line: string): Line {
  const [, mode = "", owner = "", size = "", name = "", target] = linePattern.exec(line) ?? [];
  if (mode === "") throw new Error(`GNU tar says ${line}`);
  const isHardlink = mode.startsWith("h");
  return {
    // A contiguous file is a file, and made as a directory where its name ends like one.
    mode: mode.replace(/^C/, name.endsWith("/") ? "d" : "-"),
    owner,
    size,
    name: normal(unquoted(name)),
    target:
      target === undefined ? undefined : isHardlink ? normal(unquoted(target)) : unquoted(target),
  };
}

function unquoted(text: string): string {
  const escapes: Readonly<Record<string, string>> = {
    a: "\x07",
    b: "\b",
    f: "\f",
    n: "\n",
    r: "\r",
    t: "\t",
    v: "\v",
  };
  return text.replaceAll(/\\([0-7]{3}|.)/g, (_escape, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (escapes[code] ?? code),
  );
}

/** The path that a name of an archive means. */
function normal(name: string): string {
  return name
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}

export function contentByGnu(path: string): Buffer {
  return gnuTar(path, "-xO");
}
