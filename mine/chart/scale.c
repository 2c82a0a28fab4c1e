/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/scale.h"

#include <math.h>

double scale_map(const struct scale *s, double value)
{
	double lo = s->lo, hi = s->hi;
	if (s->logarithmic) {
		lo = log10(lo);
		hi = log10(hi);
		value = log10(value);
	}
	return s->from + (value - lo) / (hi - lo) * (s->to - s->from);
}

void scale_pad(struct scale *s, double share)
{
	if (s->logarithmic) {
		double ratio = s->hi / s->lo;
		/* A flat line wants to be seen as flat: at least a factor of two around it. */
		double factor = ratio < 2 ? sqrt(2.4 / ratio) : pow(ratio, share);
		s->lo /= factor;
		s->hi *= factor;
		return;
	}
	double length = s->hi - s->lo;
	double by = length > 0 ? length * share : fmax(fabs(s->hi) / 2, 1);
	s->lo -= by;
	s->hi += by;
}

double scale_nice(double v)
{
	double power = pow(10, floor(log10(v)));
	static const double step[] = { 1, 2, 5 };
	for (int i = 0; i < 3; i++)
		if (step[i] * power >= v * (1 - 1e-9))
			return step[i] * power;
	return 10 * power;
}

static size_t linear_ticks(const struct scale *s, size_t wanted, struct tick ticks[TICKS_MAX])
{
	double step = scale_nice((s->hi - s->lo) / (double)wanted);
	double first = ceil(s->lo / step - 1e-9);
	size_t n = 0;
	for (double k = first; k * step <= s->hi + step * 1e-9 && n < TICKS_MAX; k++)
		ticks[n++] = (struct tick){ k * step + 0.0, true };
	return n;
}

static size_t log_ticks(const struct scale *s, size_t wanted, struct tick ticks[TICKS_MAX])
{
	double decades = log10(s->hi / s->lo);
	bool every_125 = decades * 3 <= (double)wanted * 1.5, every_13 = decades * 2 <= (double)wanted * 1.5;
	/* Many decades: label each, or every second, third … one. */
	int stride = (int)fmax(1, ceil(decades / (double)wanted));
	bool minors = decades <= 5;
	size_t n = 0;
	for (int k = (int)floor(log10(s->lo)); k <= (int)ceil(log10(s->hi)); k++)
		for (int m = 1; m < 10 && n < TICKS_MAX; m++) {
			double v = m * pow(10, k);
			bool major = (m == 1 && k % stride == 0) || (every_125 && (m == 2 || m == 5)) || (!every_125 && every_13 && m == 3);
			if (v >= s->lo * (1 - 1e-9) && v <= s->hi * (1 + 1e-9) && (major || minors))
				ticks[n++] = (struct tick){ v, major };
		}
	return n;
}

size_t scale_ticks(const struct scale *s, size_t wanted, struct tick ticks[TICKS_MAX])
{
	if (!(s->hi > s->lo) || !isfinite(s->hi) || !isfinite(s->lo) || !wanted)
		return 0;
	return s->logarithmic ? log_ticks(s, wanted, ticks) : linear_ticks(s, wanted, ticks);
}
