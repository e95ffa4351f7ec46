import { afterEach, expect, test } from "bun:test";
import { closeSync, readSync, writeSync } from "node:fs";
import { Epoll, epollEvents } from "../../src/system/epoll.ts";
import { openPipe, type Pipe } from "../../src/system/process-pipe.ts";

let open: (() => void)[] = [];

afterEach(() => {
  for (const close of open) close();
  open = [];
});

test("wait tells which descriptors are ready, and goes on telling until they are read", () => {
  const [epoll, one, other] = [openEpoll(), pipe(), pipe()];
  epoll.add(one.readFd, epollEvents.readable);
  epoll.add(other.readFd, epollEvents.readable);
  expect(epoll.wait(0)).toBe(0);
  writeSync(other.writeFd, "x");
  for (let time = 0; time < 2; time++) {
    expect(epoll.wait(1000)).toBe(1);
    expect(epoll.descriptorAt(0)).toBe(other.readFd);
    expect(epoll.isWritable(0)).toBe(false);
  }
  readSync(other.readFd, new Uint8Array(1));
  expect(epoll.wait(0)).toBe(0);
});

test("one waits for another, and a change counts from then on", () => {
  const [outer, inner, ends] = [openEpoll(), openEpoll(), pipe()];
  outer.add(inner.descriptor, epollEvents.readable);
  inner.add(ends.writeFd, epollEvents.readable);
  expect(outer.wait(0)).toBe(0);
  inner.change(ends.writeFd, epollEvents.readable | epollEvents.writable);
  expect(outer.wait(1000)).toBe(1);
  expect(inner.wait(0)).toBe(1);
  expect(inner.isWritable(0)).toBe(true);
});

test("add refuses what cannot be waited for", () => {
  expect(() => openEpoll().add(-1, epollEvents.readable)).toThrow("epoll_ctl: EBADF");
});

function openEpoll(): Epoll {
  const epoll = new Epoll(8);
  open.push(() => epoll.close());
  return epoll;
}

function pipe(): Pipe {
  const made = openPipe();
  open.push(
    () => closeSync(made.readFd),
    () => closeSync(made.writeFd),
  );
  return made;
}
