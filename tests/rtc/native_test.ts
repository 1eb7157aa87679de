/**
 * The only test file that loads the native WebRTC library: Deno runs every test file in an isolate of its own, and
 * the library brings the process down when a second isolate of the same process loads it.
 */
import "./ice_cases.ts";
import "./peer_cases.ts";
import "./peer_proof_cases.ts";
import "./transfer_cases.ts";
import "../client/connect_cases.ts";
