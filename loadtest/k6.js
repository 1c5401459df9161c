// What k6 runs for loadtest/k6.py: each iteration is one request, and one line on stdout.
import exec from "k6/execution";
import http from "k6/http";

const plan = JSON.parse(open(__ENV.PLAN));

export const options = {
  scenarios: { load: plan.scenario },
  discardResponseBodies: true,
  maxRedirects: 0,
  userAgent: "loadtest",
  // Of each client, which has one request under way at a time.
  batchPerHost: 1,
};

export default function () {
  const begun = Date.now();
  const number = exec.scenario.iterationInTest;
  if (number >= plan.total) {
    return; // the last stage is longer than the load
  }
  const asked = plan.requests[number % plan.requests.length];
  const answer = http.request(asked.method, asked.url, asked.body, {
    headers: asked.headers,
    timeout: plan.timeout,
    responseCallback: null,
    // Each request has a visitor of its own.
    jar: new http.CookieJar(),
  });
  const { blocked, duration } = answer.timings;
  console.log(
    JSON.stringify({
      number,
      begun: begun - exec.scenario.startTime,
      ended: Date.now() - exec.scenario.startTime,
      start: exec.scenario.startTime,
      took: blocked + duration,
      status: answer.status,
      bytes: Number(answer.headers["Content-Length"] || 0),
      error: answer.error,
      code: answer.error_code,
    }),
  );
}

export function handleSummary(data) {
  const dropped = data.metrics.dropped_iterations;
  return { stdout: JSON.stringify({ dropped: dropped ? dropped.values.count : 0 }) + "\n" };
}
