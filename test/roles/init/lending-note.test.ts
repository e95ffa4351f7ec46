import { expect, test } from "bun:test";
import { LendingNote, noteFirstWord, readEarly } from "../../../src/roles/init/lending-note.ts";

test.each([0, 1, 300_000])(
  "%d bytes that came early are there, until the first word is said",
  (length) => {
    const early = new Uint8Array(length).fill(7);
    const note = new LendingNote(early);
    expect(readEarly(note.fd)).toEqual(early);
    expect(readEarly(note.fd)).toEqual(early);
    noteFirstWord(note.fd);
    expect(note.take()).toBe(true);
  },
);

test("who says no word leaves the note as it is", () => {
  const note = new LendingNote(new Uint8Array(0));
  readEarly(note.fd);
  expect(note.take()).toBe(false);
});
