import { check, cStruct, openLibc } from "./libc.ts";

/** After the output that was written so far has left. */
const tcsadrain = 1;
/** Larger than `struct termios` of any platform; we never look inside. */
const termiosBytesMax = 256;

/**
 * Raw mode of a terminal, both ways: Bun's own keeps turning line feeds of the output into carriage
 * return and line feed, which tears the screens of full-screen programs. Returns the way back.
 */
export function enterRawMode(fd: number): () => void {
  const libc = openLibc({
    tcgetattr: { args: ["i32", "ptr"], returns: "i32" },
    tcsetattr: { args: ["i32", "i32", "ptr"], returns: "i32" },
    cfmakeraw: { args: ["ptr"], returns: "void" },
  });
  const before = cStruct(termiosBytesMax);
  check("tcgetattr", () => libc.tcgetattr(fd, before));
  const raw = cStruct(termiosBytesMax);
  raw.set(before);
  libc.cfmakeraw(raw);
  check("tcsetattr", () => libc.tcsetattr(fd, tcsadrain, raw));
  return () => {
    check("tcsetattr", () => libc.tcsetattr(fd, tcsadrain, before));
  };
}
