// The Live tab in the visitor's browser: the microphone goes out in pieces, faces come back in strips.
//
// One piece is on its way at a time; what is said meanwhile goes with the next one. So nothing is lost
// and nothing arrives out of order, and a slow connection makes the pieces longer, not later and later.

// Seconds: the shortest piece, three frames.
const PIECE = 0.12;
// Seconds of speech that may wait to be sent; frames of anything older would be shown too late.
const WAITING = 1;
// Milliseconds.
const FRAME = 40;
// Frames that may wait to be shown beyond those that have just come, against a stutter.
const SLACK = 2;
const WORDS = {
  connecting: "One moment…",
  stopped: "Stopped. Press Start to begin again with a new face.",
  denied: "The microphone may not be used: allow it in the browser's settings for this page.",
  missing: "No microphone was found: connect one, and open this page by https.",
  lost: "The server cannot be reached: press Start to try again.",
};
// Runs beside the page, in the audio thread: hands over the samples as they come.
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([[block]]) {
    if (block) this.port.postMessage(block.slice());
    return true;
  }
});`;

const canvas = element.querySelector("canvas");
const status = element.querySelector(".words");
const brush = canvas.getContext("2d");
// Frames to be shown: an image with several side by side, which of them, and their width.
const queue = [];
// What is open while the visitor speaks.
let current = null;
let playing = false;
// Milliseconds: when the next frame is to be shown.
let due = 0;

const print = words => { if (status.textContent !== words) status.textContent = words; };

async function start() {
  if (current) return;
  const session = (current = { blocks: [], length: 0, sending: false });
  print(WORDS.connecting);
  try {
    session.microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    session.audio = new AudioContext();
    const { key, words, error } = await server.begin(session.audio.sampleRate);
    session.key = key;
    if (error) return stop(error);
    await tap(session);
    print(words);
  } catch (error) {
    console.error(error);
    stop(error.name === "NotAllowedError" ? WORDS.denied : session.microphone ? WORDS.lost : WORDS.missing);
  }
  // Stopped before it had begun.
  if (current !== session) close(session);
}

async function tap(session) {
  const module = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
  await session.audio.audioWorklet.addModule(module);
  const node = new AudioWorkletNode(session.audio, "tap", { channelCount: 1, channelCountMode: "explicit" });
  node.port.onmessage = ({ data }) => take(session, data);
  session.audio.createMediaStreamSource(session.microphone).connect(node).connect(session.audio.destination);
}

function take(session, block) {
  const rate = session.audio.sampleRate;
  session.blocks.push(block);
  session.length += block.length;
  while (session.length > WAITING * rate) session.length -= session.blocks.shift().length;
  if (current === session && !session.sending && session.length >= PIECE * rate) send(session);
}

async function send(session) {
  // Another tab of the page was opened.
  if (!canvas.offsetParent) return stop(WORDS.stopped);
  session.sending = true;
  try {
    const { error, over, words, ...strip } = await server.feed([session.key, encode(session)]);
    if (current !== session) return;
    await show(strip);
    if (error || over) stop(error ?? words);
    else print(words);
  } catch (error) {
    console.error(error);
    stop(WORDS.lost);
  } finally {
    session.sending = false;
  }
}

// All that waits, as 16-bit samples in base64.
function encode(session) {
  const samples = new DataView(new ArrayBuffer(2 * session.length));
  let at = 0;
  for (const block of session.blocks)
    for (const value of block) {
      samples.setInt16(at, 32767 * Math.max(-1, Math.min(1, value)), true);
      at += 2;
    }
  session.blocks = [];
  session.length = 0;
  let bytes = "";
  for (const byte of new Uint8Array(samples.buffer)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}

async function show({ frames, strip }) {
  if (!frames) return;
  const image = new Image();
  image.src = "data:image/jpeg;base64," + strip;
  await image.decode();
  element.querySelector(".empty")?.remove();
  for (let k = 0; k < frames; k++) queue.push([image, k, image.width / frames]);
  queue.splice(0, Math.max(0, queue.length - frames - SLACK));
  if (!playing) requestAnimationFrame(play);
  playing = true;
}

function play(now) {
  if (now >= due) {
    const [image, k, width] = queue.shift();
    canvas.width = width;
    canvas.height = image.height;
    brush.drawImage(image, -k * width, 0);
    due = (now - due < FRAME ? due : now) + FRAME;
  }
  playing = queue.length > 0;
  if (playing) requestAnimationFrame(play);
}

function stop(words) {
  const session = current;
  if (!session) return;
  current = null;
  print(words);
  close(session);
}

async function close(session) {
  session.microphone?.getTracks().forEach(track => track.stop());
  if (session.audio?.state !== "closed") session.audio?.close();
  const key = session.key;
  session.key = null;
  if (key) await server.finish(key).then(show).catch(console.error);
}

canvas.addEventListener("start", start);
canvas.addEventListener("stop", () => stop(WORDS.stopped));
