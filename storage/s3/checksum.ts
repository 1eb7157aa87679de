/** CRC-32 as S3 writes it, and of a whole from its parts. */
import { crc32 } from "node:zlib";

/** The polynomial of CRC-32, bits reversed. */
const POLYNOMIAL = 0xedb88320;
/** x⁰ and x¹ modulo the polynomial, bits reversed. */
const [ONE, X] = [0x80000000, 0x40000000];

/** CRC-32 of some bytes, 32 bits, unsigned; `before` is that of the bytes before them. */
export function crcOf(bytes: Uint8Array, before = 0): number {
  return crc32(bytes, before);
}

/** As S3 writes it: four bytes, the highest first, in base64. */
export function crcText(crc: number): string {
  return btoa(String.fromCharCode(crc >>> 24, crc >>> 16 & 255, crc >>> 8 & 255, crc & 255));
}

/** Product of two polynomials. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= b;
    b = b & 1 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1;
  }
  return product >>> 0;
}

/** CRC-32 of two byte strings, one after the other, from that of each; `bytes` is the length of the second. */
export function joinCrc(first: number, second: number, bytes: number): number {
  // Each byte that follows multiplies what was there by x⁸.
  let [shift, square] = [ONE, X];
  for (let bits = bytes * 8; bits > 0; bits = Math.floor(bits / 2)) {
    if (bits % 2 === 1) shift = multiply(shift, square);
    square = multiply(square, square);
  }
  return (multiply(shift, first) ^ second) >>> 0;
}
