(function () {
  "use strict";
  var body = document.body, lost = 0, resting = 0;
  function part(id) { return document.getElementById(id); }
  function show(id, text) { var p = part(id); p.textContent = text; p.hidden = !text; }
  function about(seconds) {
    if (seconds < 2) return "a moment";
    if (seconds < 90) return "about " + Math.ceil(seconds) + " s";
    return "about " + Math.ceil(seconds / 60) + " min";
  }
  function bar(fraction, failed) {
    var box = part("bar").parentNode, known = typeof fraction === "number";
    box.className = "bar" + (failed ? " none" : known ? "" : " unknown");
    part("bar").style.transform = known && !failed ? "scaleX(" + Math.max(0.02, Math.min(1, fraction)) + ")" : "";
    if (known) box.setAttribute("aria-valuenow", Math.round(fraction * 100)); else box.removeAttribute("aria-valuenow");
  }
  function tell(s) {
    var failed = s.state === "failed" || s.state === "unavailable";
    show("phase", failed ? "could not be started" : s.phase || s.state);
    show("reason", failed ? s.reason || s.detail || "" : "");
    part("act").hidden = !failed;
    bar(s.progress, failed);
    var notes = [];
    if (!failed && s.detail) notes.push(s.detail);
    if (!failed && s.estimate_s) notes.push(about(s.estimate_s));
    if (!failed && s.queue_position) notes.push("number " + s.queue_position + " in the queue for memory");
    show("note", notes.join(" · "));
    return failed;
  }
  function ask() {
    fetch(body.dataset.ask, { cache: "no-store", credentials: "same-origin" }).then(function (r) {
      if (!r.ok && r.status !== 503) throw new Error(String(r.status));
      return r.json();
    }).then(function (s) {
      lost = 0;
      // Asleep again without having been seen ready: ask anew, which wakes it.
      resting = s.state === "paused" || s.state === "stopped" ? resting + 1 : 0;
      if (s.state === "ready" || resting > 4) { location.reload(); return; }
      tell(s);
      setTimeout(ask, 1000);
    }).catch(function () {
      lost += 1;
      if (lost > 2) show("note", "the hub does not answer at the moment; still trying");
      setTimeout(ask, Math.min(1000 * lost, 5000));
    });
  }
  setTimeout(ask, body.dataset.kind === "failed" ? 3000 : 1000);
})();
