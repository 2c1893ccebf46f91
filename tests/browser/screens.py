"""Every screen, where it is and who sees it; pictures of all of them by `make screens`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tests.browser.city import ADMIN, APPROVER, AUTHOR, City


@dataclass(frozen=True, slots=True)
class Screen:
    """One page, as somebody who may see it opens it."""

    name: str
    """Of its picture."""
    path: str
    """Things of the city stand in braces."""
    login: str | None
    """None: nobody is signed in."""
    says: str
    """What it is for, under its picture."""

    def at(self, city: City) -> str:
        """Return the address in this city."""
        return self.path.format(**asdict(city))


SCREENS = (
    Screen("today", "/console", APPROVER, "Today: what needs me, and nothing else."),
    Screen("new", "/console/alerts/new", AUTHOR,
           "An alert begins: its kind, a scenario, or an earlier alert."),
    Screen("compose", "/console/alerts/{draft}/edit", AUTHOR,
           "Compose: words, area and time beside the preview, the checks and the forecast."),
    Screen("update", "/console/alerts/{update}/edit", AUTHOR,
           "An update: who is new, who stays, who is left out, and the words for each."),
    Screen("versions", "/console/alerts/{submitted}/versions", AUTHOR, "Versions, compared."),
    Screen("draft", "/console/alerts/{draft}", AUTHOR, "A draft, before it is submitted."),
    Screen("review", "/console/alerts/{submitted}/review", APPROVER,
           "Review: the very preview, the map, what differs, and the decision."),
    Screen("live", "/console/alerts/{live}", APPROVER,
           "An alert that was sent: reach, communes, and everything done and by whom."),
    Screen("stopped", "/console/alerts/{stopped}", APPROVER, "A stopped alert, with the reason."),
    Screen("exercise-live", "/console/alerts/{exercise}", APPROVER,
           "An exercise: it can be taken for nothing else."),
    Screen("archive", "/console/alerts", APPROVER,
           "All alerts: by words, place, time, kind, class, sender."),
    Screen("record", "/console/alerts/{live}/record", APPROVER, "One person's record of an alert."),
    Screen("recipients", "/console/alerts/{live}/recipients", APPROVER, "Who received an alert."),
    Screen("received", "/console/received", APPROVER, "What somebody received."),
    Screen("why", "/console/alerts/{live}/why", APPROVER, "Why somebody got an alert."),
    Screen("incidents", "/console/incidents", APPROVER, "Incidents by urgency, on the map too."),
    Screen("incident", "/console/incidents/{incident}", APPROVER, "One incident, as it was sent."),
    Screen("duty", "/console/duty", APPROVER, "Who must publish next, and how late."),
    Screen("templates", "/console/templates", AUTHOR, "Templates by hazard."),
    Screen("template", "/console/templates/storm", AUTHOR, "One template, its values filled in."),
    Screen("template-own", "/console/templates/own/{template}", AUTHOR, "A unit's own template."),
    Screen("template-edit", "/console/templates/own/{template}/edit", AUTHOR,
           "Writing a template, the linter beside it."),
    Screen("scenarios", "/console/scenarios", AUTHOR, "Scenarios, prepared and reviewed."),
    Screen("scenario", "/console/scenarios/{scenario}", AUTHOR, "One scenario and its history."),
    Screen("scenario-use", "/console/scenarios/{scenario}/use", AUTHOR,
           "A scenario asks only what is open."),
    Screen("scenario-new", "/console/scenarios/new", AUTHOR, "A scenario begins."),
    Screen("account", "/console/account", APPROVER, "One's own account and second factor."),
    Screen("second-factor", "/console/account/second-factor", AUTHOR, "Enrolling a phone."),
    Screen("policy", "/console/policy", ADMIN, "Which channels an alert goes by, in which steps."),
    Screen("approval-rules", "/console/approval-rules", ADMIN, "Who approves what, as data."),
    Screen("exercises", "/console/exercises", ADMIN, "Sessions, and who takes part."),
    Screen("providers", "/console/providers", ADMIN, "Carriers: health, weights, switches."),
    Screen("dead-letters", "/console/dead-letters", ADMIN, "What did not arrive, and why."),
    Screen("officials", "/console/officials", ADMIN,
           "Officials: who works where, and whose phone is not enrolled."),
    Screen("official", "/console/officials/lan", ADMIN,
           "One account: roles, a lost phone, a forgotten password."),
    Screen("official-new", "/console/officials/new", ADMIN, "An account is made."),
    Screen("people", "/console/people", APPROVER,
           "People: numbers, and one person for a reason that is kept."),
    Screen("trail", "/console/audit", ADMIN, "The trail: who did what, and when."),
    Screen("not-found", "/console/alerts/HN-20000101-0000", APPROVER, "A page that is not there."),
    Screen("sign-in", "/console/sign-in", None, "Sign-in."),
    Screen("public-alerts", "/alerts", None, "Public: what is in force."),
    Screen("public-alert", "/alerts/{live}", None, "Public: one alert, what to do first."),
    Screen("public-stopped", "/alerts/{stopped}", None, "Public: an alert that was stopped."),
    Screen("public-exercise", "/alerts/{exercise}", None, "Public: an exercise."),
    Screen("places-thanks", "/places/thanks", None, "After somebody said where their home is now."),
    Screen("lab-phones", "/lab/phones", None, "The lab's phones."),
    Screen("lab-phone", "/lab/phones/{phone}", None, "A phone's lock screen."),
    Screen("lab-texts", "/lab/sms", None, "The lab's numbers."),
    Screen("lab-text", "/lab/sms/{number}", None, "One number's texts."),
    Screen("lab-mails", "/lab/mail", None, "The lab's mailboxes."),
    Screen("lab-mail", "/lab/mail/{box}", None, "One mailbox."),
)  # fmt: skip
ALONE = {"places-thanks", "not-found"}
"""Without a picture: a sentence each."""
