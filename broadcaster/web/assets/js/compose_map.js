// The map of the compose screen and everything that lives on it. Fetched once the form can be
// written on: on a bad link the words come first.
import { AreaEditor } from "./area.js";
import { AreaTools } from "./area_tools.js";
import { Audience } from "./audience.js";
import { Density } from "./density.js";
import { Proposal } from "./proposal.js";

function script(address) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = address;
    element.onload = resolve;
    element.onerror = reject;
    document.head.append(element);
  });
}

export async function startMap(writing, words, post, changed) {
  const { form } = writing;
  await script(form.dataset.leaflet);
  const area = new AreaEditor(form, words);
  writing.editor = area;
  await area.start();
  const audience = new Audience(form, post, area.data);
  audience.put(document.getElementById("audience").innerHTML);
  const figures = async (value) => {
    const answer = await post(form.dataset.audience, JSON.stringify({ area: value }));
    return answer.ok ? answer.json() : undefined;
  };
  const proposal = new Proposal(area, figures, words, form.dataset.lang);
  const tools = new AreaTools(form, words, area, proposal, post);
  area.addEventListener("drawing", (event) => audience.live(event.detail));
  area.addEventListener("still", () => audience.settle(area.value));
  area.addEventListener("change", () => {
    audience.settle(area.value);
    tools.checkSoon();
    changed();
  });
  new Density(area.map, form);
  tools.checkSoon();
  return audience;
}
