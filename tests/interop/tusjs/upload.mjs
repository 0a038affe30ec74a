// tus-js-client, driven by tests/interop/test_tus.py: one upload as the JSON in the first argument says, what
// happens as JSON lines on standard output.
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import * as tus from "tus-js-client";

const wish = JSON.parse(process.argv[2]);
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const content = readFileSync(wish.file);

const sha1 = (request) => {
  const offset = Number(request.getHeader("Upload-Offset"));
  const chunk = content.subarray(offset, offset + (wish.options.chunkSize ?? content.length));
  return createHash("sha1").update(wish.spoilt ? "another" : chunk).digest("base64");
};

const upload = new tus.Upload(createReadStream(wish.file), {
  endpoint: wish.endpoint,
  uploadSize: statSync(wish.file).size,
  metadata: { filename: wish.name, filetype: "application/octet-stream" },
  httpStack: new tus.DefaultHttpStack({
    ca: readFileSync(wish.ca),
    cert: readFileSync(wish.cert),
    key: readFileSync(wish.key),
  }),
  urlStorage: new tus.FileUrlStorage(wish.memory),
  retryDelays: null,
  ...wish.options,
  onBeforeRequest: (request) => {
    if (wish.checksum && request.getMethod() === "PATCH") {
      request.setHeader("Upload-Checksum", `sha1 ${sha1(request)}`);
    }
  },
  onUploadUrlAvailable: () => say({ url: upload.url }),
  onChunkComplete: async (size, accepted, total) => {
    say({ accepted, total });
    if (accepted >= wish.killedAt) process.kill(process.pid, "SIGKILL");
    if (accepted >= wish.terminatedAt) {
      await upload.abort(true);
      say({ terminated: true });
    }
  },
  onError: (error) => say({ error: error.originalResponse?.getStatus() ?? String(error) }),
  onSuccess: () => say({ done: true }),
});

const [previous] = await upload.findPreviousUploads();
if (previous) {
  say({ resumed: previous.uploadUrl });
  upload.resumeFromPreviousUpload(previous);
}
upload.start();
