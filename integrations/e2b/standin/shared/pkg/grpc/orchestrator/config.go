// SPDX-License-Identifier: GPL-2.0-or-later

// Package orchestrator stands in for the package of this path in E2B's infrastructure: the members of its messages, and the
// methods of them, that weft's pool touches, as far as a compiler can tell them apart. It is for tests alone.
package orchestrator

// SandboxNetworkConfig is the network configuration of a sandbox.
type SandboxNetworkConfig struct {
	Egress *SandboxNetworkEgressConfig
}

// GetEgress returns the egress policy, or nil.
func (c *SandboxNetworkConfig) GetEgress() *SandboxNetworkEgressConfig {
	if c == nil {
		return nil
	}
	return c.Egress
}

// SandboxNetworkDomainRules are the header transforms of a domain.
type SandboxNetworkDomainRules struct{}

// SandboxNetworkEgressConfig is an egress policy.
type SandboxNetworkEgressConfig struct {
	AllowedCidrs       []string
	DeniedCidrs        []string
	AllowedDomains     []string
	Rules              map[string]*SandboxNetworkDomainRules
	EgressProxyAddress string
}

// GetAllowedCidrs returns the networks that are allowed.
func (c *SandboxNetworkEgressConfig) GetAllowedCidrs() []string {
	if c == nil {
		return nil
	}
	return c.AllowedCidrs
}

// GetDeniedCidrs returns the networks that are denied.
func (c *SandboxNetworkEgressConfig) GetDeniedCidrs() []string {
	if c == nil {
		return nil
	}
	return c.DeniedCidrs
}

// GetAllowedDomains returns the names that are allowed.
func (c *SandboxNetworkEgressConfig) GetAllowedDomains() []string {
	if c == nil {
		return nil
	}
	return c.AllowedDomains
}

// GetRules returns the header transforms by domain.
func (c *SandboxNetworkEgressConfig) GetRules() map[string]*SandboxNetworkDomainRules {
	if c == nil {
		return nil
	}
	return c.Rules
}

// GetEgressProxyAddress returns the address of the user's own SOCKS5 proxy, or "".
func (c *SandboxNetworkEgressConfig) GetEgressProxyAddress() string {
	if c == nil {
		return ""
	}
	return c.EgressProxyAddress
}
