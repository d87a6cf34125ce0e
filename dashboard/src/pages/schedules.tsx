// When graphs run by themselves.
import { useState } from "preact/hooks";
import { extensions, has } from "../api/features";
import { listGraphs, listSchedules, steerSchedule } from "../api/operations";
import type { Schedule } from "../api/types";
import { useResource } from "../lib/resource";
import { counted } from "../lib/time";
import { to } from "../router";
import { Command, Empty, Failure, Loading, Missing, Name, Time } from "../ui/basics";
import { Confirm, type Plan } from "../ui/confirm";
import { schedulesOf } from "./graphs";

export function SchedulesPage({ ns }: { ns: string }) {
  const isTold = has("schedules");
  const read = async (signal: AbortSignal): Promise<Schedule[]> => {
    if (isTold) return listSchedules(ns, signal);
    const graphs = await listGraphs(ns, signal);
    return graphs.flatMap((graph) => schedulesOf(graph).map((expression) => ({ schedule_id: `${graph.name} ${expression}`, graph_name: graph.name, expression })));
  };
  const { data, error, reload } = useResource(extensions.value && `${ns}/${isTold}`, read, 5_000);
  const [plan, setPlan] = useState<Plan | null>(null);
  const steer = (schedule: Schedule, verb: "pause" | "resume" | "trigger"): void =>
    setPlan({
      title: { pause: "Pause this schedule", resume: "Resume this schedule", trigger: "Run it now" }[verb],
      text: `${schedule.graph_name}: ${schedule.expression}`,
      verb: { pause: "Pause", resume: "Resume", trigger: "Run now" }[verb],
      steps: [() => steerSchedule(ns, schedule.schedule_id, verb)],
      after: reload,
    });
  return (
    <div class="page">
      <header class="page-head">
        <h1>Schedules</h1>
        {data && (
          <p class="muted" role="status">
            {counted(data.length, "schedule")}
          </p>
        )}
      </header>
      {error && !data ? (
        <Failure error={error} what="list of schedules" />
      ) : !data ? (
        <Loading what="schedules" />
      ) : data.length ? (
        <div class="table-frame">
          <table>
            <thead>
              <tr>
                <th>Graph</th>
                <th>Expression</th>
                {isTold && (
                  <>
                    <th>Next</th>
                    <th>Last</th>
                    <th>
                      <span class="offscreen">Actions</span>
                    </th>
                  </>
                )}
              </tr>
            </thead>
            <tbody>
              {data.map((schedule) => (
                <tr key={schedule.schedule_id}>
                  <td>
                    <a href={to.graph(ns, schedule.graph_name)}>
                      <Name>{schedule.graph_name}</Name>
                    </a>
                  </td>
                  <td>
                    <code>{schedule.expression}</code> {schedule.timezone && <span class="muted">{schedule.timezone}</span>}
                  </td>
                  {isTold && (
                    <>
                      <td>{schedule.paused ? <span class="tag">paused</span> : <Time at={schedule.next_at} />}</td>
                      <td>
                        {schedule.last_run_id ? (
                          <a href={to.run(ns, schedule.last_run_id)}>
                            <Time at={schedule.last_at} />
                          </a>
                        ) : (
                          <Time at={schedule.last_at} />
                        )}
                      </td>
                      <td class="num">
                        <button type="button" class="ghost" onClick={() => steer(schedule, schedule.paused ? "resume" : "pause")}>
                          {schedule.paused ? "Resume" : "Pause"}
                        </button>
                        <button type="button" class="ghost" onClick={() => steer(schedule, "trigger")}>
                          Run now
                        </button>
                      </td>
                    </>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <Empty icon="clock" title="No graph runs by itself">
          <p>
            Give a graph a <code>CronTrigger</code> when it is stored:
          </p>
          <Command>manager.upsert_graph(…, triggers=[CronTrigger(expression="0 9 * * 1-5")])</Command>
        </Empty>
      )}
      {!isTold && data && data.length > 0 && <Missing extension="schedules">Next and last times are not shown, and schedules cannot be paused here.</Missing>}
      {plan && <Confirm plan={plan} onClose={() => setPlan(null)} />}
    </div>
  );
}
