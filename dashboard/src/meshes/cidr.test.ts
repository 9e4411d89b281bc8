// How many machines a network has addresses for, as the server counts them.
import { expect, test } from "vitest";
import { capacity, uniqueLocal } from "./cidr";

test("a network has addresses for all but its own, and in IPv4 but the one of everybody", () => {
  for (const [cidr, most] of [
    ["192.168.7.0/30", 2],
    ["10.20.0.0/24", 254],
    ["10.20.0.0/16", 65_534],
    ["10.0.0.0/8", 16_777_214],
    ["fd00::/120", 255],
    ["fd00:20::/64", 16_777_214],
    [" 10.20.0.0/24 ", 254],
  ] as const) {
    expect(capacity(cidr)).toBe(most);
  }
});

test("what is no network yet is not counted", () => {
  for (const text of ["", "10.20.0.0", "10.20.0.0/", "10.20.0.0/31", "fd00::/129", "home/24"]) {
    expect(capacity(text)).toBeNull();
  }
});

test("a unique local network is made of the random bytes alone", () => {
  expect(uniqueLocal(new Uint8Array([0x12, 0x34, 0x56, 0x78, 0x9a]))).toBe("fd12:3456:789a::/64");
  expect(uniqueLocal(new Uint8Array([0, 0, 0x0f, 0, 0]))).toBe("fd00:f:0::/64");
});
