// SPDX-License-Identifier: GPL-2.0-or-later

//go:build linux

// Package sandbox stands in for the package of this path in E2B's infrastructure: what weft's assign hook touches. It is for
// tests alone.
package sandbox

import (
	"context"

	"github.com/e2b-dev/infra/packages/orchestrator/pkg/sandbox/network"
)

// SandboxType tells sandboxes of users from those that build templates.
type SandboxType string

// The types.
const (
	SandboxTypeSandbox SandboxType = "sandbox"
	SandboxTypeBuild   SandboxType = "build"
)

// String returns the type's name.
func (t SandboxType) String() string {
	if t == "" {
		return string(SandboxTypeSandbox)
	}
	return string(t)
}

// RuntimeMetadata says whose sandbox it is.
type RuntimeMetadata struct {
	TemplateID  string
	SandboxID   string
	ExecutionID string
	TeamID      string
	BuildID     string
	SandboxType SandboxType
}

// Resources are what a sandbox has.
type Resources struct {
	Slot *network.Slot
}

// Metadata is what is known about a sandbox.
type Metadata struct {
	Runtime RuntimeMetadata
}

// Sandbox is one sandbox.
type Sandbox struct {
	*Resources
	*Metadata

	LifecycleID string
}

// NetworkAssignReason says why a sandbox starts.
type NetworkAssignReason uint8

// The reasons.
const (
	NetworkAssignReasonUnknown NetworkAssignReason = iota
	NetworkAssignReasonCreate
	NetworkAssignReasonResume
	NetworkAssignReasonReboot
	NetworkAssignReasonThrowawayResume
)

// String returns the reason's name.
func (r NetworkAssignReason) String() string {
	return [...]string{"unknown", "create", "resume", "reboot", "throwaway_resume"}[r]
}

// NetworkAssignHook is called once for each start of a sandbox, before its guest runs.
type NetworkAssignHook interface {
	OnNetworkAssign(ctx context.Context, sbx *Sandbox, reason NetworkAssignReason) error
}
