// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux

package infra

import (
	"context"
	"fmt"
	"time"

	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox"

	"weft.example/integrations/e2b"
)

// How long the start of a sandbox may wait for its name.
const hookTimeout = 2 * time.Second

// Hook returns an assign hook that tells weft for whom a slot is: the sandbox's id becomes its name in weft, and its template,
// build, team, execution and the reason of its start become labels. Then it calls next, if there is one.
func (p *Pool) Hook(next sandbox.NetworkAssignHook) sandbox.NetworkAssignHook {
	return hook{pool: p.pool, next: next}
}

type hook struct {
	pool *e2b.Pool
	next sandbox.NetworkAssignHook
}

// OnNetworkAssign names the slot. The orchestrator logs an error and goes on.
func (h hook) OnNetworkAssign(ctx context.Context, sbx *sandbox.Sandbox, reason sandbox.NetworkAssignReason) error {
	call, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	err := h.pool.Assign(call, sbx.Slot.Key, assignment(sbx, reason))
	if h.next == nil {
		return err
	}
	if failed := h.next.OnNetworkAssign(ctx, sbx, reason); failed != nil {
		if err != nil {
			return fmt.Errorf("%w; and weft: %v", failed, err)
		}
		return failed
	}
	return err
}

func assignment(sbx *sandbox.Sandbox, reason sandbox.NetworkAssignReason) e2b.Assignment {
	to := e2b.Assignment{
		Name:   sbx.Runtime.SandboxID,
		Labels: map[string]string{"type": sbx.Runtime.SandboxType.String(), "reason": reason.String()},
	}
	for label, value := range map[string]string{
		"sandbox":   sbx.Runtime.SandboxID,
		"execution": sbx.Runtime.ExecutionID,
		"template":  sbx.Runtime.TemplateID,
		"build":     sbx.Runtime.BuildID,
		"team":      sbx.Runtime.TeamID,
	} {
		if value != "" {
			to.Labels[label] = value
		}
	}
	if reason == sandbox.NetworkAssignReasonThrowawayResume {
		to.Name = "" // the sandbox itself may be live, and has the name
	}
	return to
}
